import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import type { Client, ClientChannel } from "ssh2";
import { exitProblem, quote, rejectionError } from "./errors.ts";

/** What to run, and where its output goes. */
export interface Job {
  command: string;
  stdin: string;
  environment: Record<string, string>;
  logStdout: boolean;
  logStderr: boolean;
  log: (line: string) => void;
}

/** The output of a successful command. */
export interface Output {
  stdout: string;
  stderr: string;
}

/** Runs one command until it ends; its output is in the error if it fails. */
export async function run(client: Client, job: Job): Promise<Output> {
  let ended: string | undefined = "wait: remote command exited without exit status or exit signal";
  const channel = await open(client, job, (problem) => (ended = problem));
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const both: Buffer[] = [];
  const lines = new PassThrough();
  createInterface({ input: lines }).on("line", job.log);
  const logged = new Promise((resolve) => lines.once("close", resolve));
  const gather = (into: Buffer[], show: boolean) => (data: Buffer) => {
    into.push(data);
    both.push(data);
    if (show) lines.write(data);
  };
  channel.on("data", gather(stdout, job.logStdout));
  channel.stderr.on("data", gather(stderr, job.logStderr));
  const failure = await new Promise<string | undefined>((resolve) => {
    channel.once("close", () => resolve(ended));
    client.once("close", () => resolve(ended));
    channel.end(job.stdin);
  });
  lines.end();
  await logged;
  if (failure !== undefined) throw new Error(`${failure}: running ${quote(job.command)}:\n${text(both)}`);
  return { stdout: text(stdout).replace(/\n$/, ""), stderr: text(stderr).replace(/\n$/, "") };
}

/** `onExit` gets the error with which the command ended, or undefined. */
function open(
  client: Client,
  { command, environment }: Job,
  onExit: (problem: string | undefined) => void,
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(command, { env: environment }, (error, channel) => {
      if (error) {
        reject(rejectionError(error));
        return;
      }
      // At once: the exit status of a short command is in the same packet that opens the channel.
      channel.once("exit", (code: number | null, signal?: string, _core?: boolean, reason?: string) => {
        onExit(code === 0 ? undefined : exitProblem(code, signal, reason));
      });
      resolve(channel);
    });
  });
}

function text(chunks: Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
