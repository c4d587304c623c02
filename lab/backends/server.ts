import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { exec, until } from "../exec.ts";

/** Where Pulumi keeps its states. */
export interface Backend {
  /** What PULUMI_BACKEND_URL is set to. */
  url: string;
  /** What the engine also needs in its environment, such as a password. */
  env: Record<string, string>;
}

/** A server on this machine's loopback that keeps Pulumi's states, with its data in a temporary folder. */
export interface BackendServer extends Backend {
  /** What it is, with its version. */
  name: string;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

/** A server to start. */
export interface ServerOptions {
  name: string;
  file: string;
  args: string[];
  env?: Record<string, string>;
  /** The folder with its data, which is removed at its end. */
  folder: string;
  /** The account that it runs as; this process's own by default. */
  user?: string;
  /** The signal on which it ends; it also gets it when this process dies. */
  signal: "INT" | "TERM";
  isReady: () => Promise<boolean>;
}

/** Starts a server, waits until it answers, and returns what ends it. */
export async function startServer(options: ServerOptions): Promise<() => Promise<void>> {
  const { name, file, args, env = {}, folder, user, signal, isReady } = options;
  const wrapper = [...asUser(user), "--pdeathsig", signal, file];
  const server = execa("setpriv", [...wrapper, ...args], { env, cwd: folder, reject: false, all: true });
  let ended: string | undefined;
  const end = server.then(({ all }) => {
    ended = all;
  });
  const stop = async () => {
    server.kill(`SIG${signal}`);
    await end;
    await rm(folder, { recursive: true });
  };
  try {
    await until(`an answer of ${name}`, 120, () => {
      if (ended !== undefined) throw new Error(`${name} ended as soon as it was started: ${ended}`);
      return isReady();
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/** The options of setpriv that run a program as another account. */
export function asUser(user: string | undefined): string[] {
  return user === undefined ? [] : ["--reuid", user, "--regid", user, "--clear-groups"];
}

/** An empty folder that only this account may enter. */
export async function temporaryFolder(user?: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ssh-reverse-tunnel-backend-"));
  await chmod(folder, 0o700);
  if (user !== undefined) await exec("chown", [user, folder]);
  return folder;
}

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("a server without a port");
  return address.port;
}
