import { execa } from "execa";

/** The result of a command. */
export interface Result {
  /** Standard output without its final newline. */
  stdout: string;
  /** Standard error without its final newline. */
  stderr: string;
  exitCode: number;
}

/** How to run a command on this machine. */
export interface ExecOptions {
  /** Standard input; nothing by default. */
  input?: string;
  /** Return a failed command instead of throwing. */
  allowFailure?: boolean;
  /** The limit: a command that takes longer is killed and reported. Default 30 s. */
  timeoutSeconds?: number;
  env?: Record<string, string>;
}

/** Runs a program on this machine; throws an error that contains the program's last output. */
export async function exec(file: string, args: string[], options: ExecOptions = {}): Promise<Result> {
  const seconds = options.timeoutSeconds ?? 30;
  const result = await execa(file, args, {
    input: options.input ?? "",
    env: options.env,
    reject: false,
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
  });
  const { stdout, stderr } = result;
  if (result.timedOut)
    throw new Error(`${file} ${args.join(" ")} did not finish within ${seconds} s. ${stderr}`);
  const exitCode = result.exitCode ?? 128;
  if (exitCode !== 0 && !options.allowFailure) {
    const words = (stderr || stdout || result.originalMessage || "it said nothing")
      .split("\n")
      .slice(-8)
      .join("\n");
    throw new Error(`${file} ${args.join(" ")} failed (exit code ${exitCode}): ${words}`);
  }
  return { stdout, stderr, exitCode };
}

/** Polls until the answer is something other than undefined or false; throws an error at the limit. */
export async function until<T>(
  what: string,
  seconds: number,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  pauseMs = 30,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`Waited ${seconds} s in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
