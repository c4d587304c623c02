import { execFileSync } from "node:child_process";
import type { Host } from "../remote/host.ts";

/** Ends with 0 if something listens on the socket, and with the error's code on standard error if not. */
const knock = `require("net").connect(process.argv[1])
  .on("connect", () => process.exit(0))
  .on("error", ({ code }) => { process.stderr.write(code); process.exit(1); });`;

/**
 * A sentence for each ssh-agent that some of the connections would use, and that does not answer. The command provider
 * then refuses to log in, even with a private key or a password.
 */
export function deadAgents(connections: Record<string, Host["connection"]>): string[] {
  const inherited = process.env.SSH_AUTH_SOCK ?? "";
  const users = new Map<string, Set<string>>();
  for (const [name, connection] of Object.entries(connections)) {
    for (const { agentSocketPath } of [
      connection,
      ...(connection.proxy ? [connection.proxy] : []),
    ] as Login[]) {
      const socket = agentSocketPath ?? inherited;
      if (socket) users.set(socket, (users.get(socket) ?? new Set()).add(name));
    }
  }
  return [...users].flatMap(([socket, names]) => {
    const why = whyDead(socket);
    const remedy =
      socket === inherited ? "start it, or unset SSH_AUTH_SOCK" : "start it, or correct agentSocketPath";
    return why === undefined
      ? []
      : [`${[...names].join(", ")}: no ssh-agent answers on ${socket} (${why}); ${remedy}`];
  });
}

/** The settings' own logins have no inputs that are not known yet. */
interface Login {
  agentSocketPath?: string;
}

function whyDead(socket: string): string | undefined {
  try {
    execFileSync(process.execPath, ["-e", knock, "--", socket], { env: {}, stdio: "pipe", timeout: 5_000 });
    return undefined;
  } catch (error) {
    const { code, stderr = "", message } = error as Error & { code?: string; stderr?: Buffer };
    return String(stderr) || code || message;
  }
}
