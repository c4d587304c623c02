import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

/** The program that is a host's hardware, and its environment. */
export interface Hardware {
  command: string[];
  env: Record<string, string>;
}

/** Starts a host's hardware so that it outlives this process; returns whether it has ended. */
export function powerOn({ command, env }: Hardware, logFile: string): () => boolean {
  const [file = "", ...args] = command;
  const log = openSync(logFile, "a");
  const child = spawn(file, args, {
    detached: true,
    stdio: ["ignore", log, log],
    env: { PATH: process.env["PATH"], ...env },
  });
  closeSync(log);
  child.unref();
  let ended = false;
  child.once("exit", () => (ended = true));
  child.once("error", () => (ended = true));
  return () => ended;
}
