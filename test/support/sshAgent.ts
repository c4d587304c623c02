import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A socket that accepts connections, as that of an ssh-agent does. */
export async function startAgent(): Promise<{ path: string; stop: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), "agent-"));
  const path = join(folder, "socket");
  const server = createServer((socket) => socket.end()).listen(path);
  await once(server, "listening");
  return {
    path,
    stop: () => {
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
