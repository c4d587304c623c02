import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Host } from "./host.ts";
import { sshCommand } from "./sshCommand.ts";

/** What a command on a host printed, and how it and ssh ended. */
export interface Ending {
  /** The exit status; 255 if ssh failed, null if time ran out. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** What is wrong where there is nothing to run. */
export const NO_SSH = "there is no ssh on the PATH here; install OpenSSH's client";

/**
 * Runs a command on a host over its admin connection, with the system's own ssh and in one login.
 *
 * @param folder where its keys and passwords are meanwhile: see {@link withFolder}
 * @param input its standard input
 */
export async function askHost(
  connection: Host["connection"],
  folder: string,
  command: string,
  { input = "", seconds = 30 }: { input?: string; seconds?: number } = {},
): Promise<{ address: string; ending: Ending }> {
  const { address, file, args, env } = await sshCommand(connection, mkdtempSync(join(folder, "host-")));
  const options = {
    env,
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
    maxBuffer: 16 * 1024 * 1024,
    encoding: "utf8",
  } as const;
  const ending = await new Promise<Ending>((resolve) => {
    const child = execFile(file, [...args, command], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : ((error as { code?: number | string | null }).code ?? null);
      if (code === "ENOENT")
        resolve({
          code: 255,
          stdout: "",
          stderr: NO_SSH,
        });
      else
        resolve({
          code: typeof code === "string" ? -1 : code,
          stdout,
          stderr: stderr || (error?.message ?? ""),
        });
    });
    // Who has ended does not read it.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
  return { address, ending };
}

/**
 * Runs an action with a folder that only this user can read, and removes it, also if a signal ends this process.
 *
 * @param end called with the number of the signal
 */
export async function withFolder<T>(
  action: (folder: string) => Promise<T>,
  end: (signal: number) => void = (signal) => process.exit(128 + signal),
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ssh-reverse-tunnel-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const ends = Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }).map(
    ([signal, number]) => [signal, () => end(number)] as const,
  );
  process.once("exit", remove);
  for (const [signal, act] of ends) process.once(signal, act);
  try {
    return await action(folder);
  } finally {
    for (const [signal, act] of ends) process.removeListener(signal, act);
    process.removeListener("exit", remove);
    remove();
  }
}

/**
 * Asks many hosts, a few at a time.
 *
 * @param waitingFor called every two seconds with those that have not answered yet
 */
export async function askAll<T extends { name: string }, R>(
  hosts: T[],
  ask: (host: T, folder: string) => Promise<R>,
  waitingFor: (names: string[]) => void,
): Promise<R[]> {
  const waiting = new Set(hosts.map(({ name }) => name));
  const progress = setInterval(() => waitingFor([...waiting]), 2_000);
  const results: R[] = [];
  const queue = [...hosts.entries()];
  try {
    await withFolder((folder) => {
      const work = async (): Promise<void> => {
        for (let next = queue.shift(); next; next = queue.shift()) {
          const [index, host] = next;
          results[index] = await ask(host, folder).finally(() => waiting.delete(host.name));
        }
      };
      return Promise.all(Array.from({ length: atOnce }, work));
    });
  } finally {
    clearInterval(progress);
  }
  return results;
}

/** sshd refuses some of those who log in at the same moment if there are ten or more (MaxStartups), also on a host on the way. */
const atOnce = 8;
