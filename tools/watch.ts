/** `npm run status -- --watch`: what each host says of its tunnels, again and again, over one connection to each. */
import { spawn } from "node:child_process";
import { once, setMaxListeners } from "node:events";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Ending } from "../components/remote/askHost.ts";
import { NO_SSH, withFolder } from "../components/remote/askHost.ts";
import { shellQuote } from "../components/remote/shellQuote.ts";
import type { SshCommand } from "../components/remote/sshCommand.ts";
import { sshCommand } from "../components/remote/sshCommand.ts";
import type { AskedHost, HostStatus } from "./status.ts";

/** Seconds that a host has for an answer, as without --watch. */
const PATIENCE = 30;

/** The most that it may write between two answers, in MiB. */
const MOST = 16;

/** How a host is asked, and its answer understood. */
interface Question {
  command: (host: AskedHost) => string;
  statusOf: (host: AskedHost, address: string, ending: Ending) => HostStatus;
}

/**
 * Watches all hosts until a signal ends it, and returns what they have said last. A host that hangs delays no other.
 *
 * @param show called with all of it when there is something new, and in time, as often as the hosts are asked
 */
export async function watchAll(
  hosts: AskedHost[],
  seconds: number,
  question: Question,
  show: (all: HostStatus[], inTime: boolean) => void,
): Promise<HostStatus[]> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // each host's
  let all: HostStatus[] = [];
  const watchThem = async (folder: string) => {
    const commands = await Promise.all(
      hosts.map(({ connection }) => sshCommand(connection, mkdtempSync(join(folder, "host-")))),
    );
    all = hosts.map(({ name, skipped }, index) => ({
      host: name,
      address: commands[index]!.address,
      ...(skipped ? { error: null, skipped } : { error: "has not answered yet" }),
      tunnels: [],
    }));
    const clock = setInterval(() => show(all, true), seconds * 1000);
    const report = (index: number) => (status: HostStatus) => {
      all[index] = status;
      show(all, false);
    };
    const watched = hosts.map((host, index) =>
      host.skipped
        ? Promise.resolve()
        : watchHost(host, commands[index]!, seconds, question, stop.signal, report(index)),
    );
    await Promise.all(watched).finally(() => clearInterval(clock));
  };
  await withFolder(watchThem, () => stop.abort());
  return all;
}

/** One connection after the other, of which each is to last. */
async function watchHost(
  host: AskedHost,
  { address, file, args, env }: SshCommand,
  seconds: number,
  { command, statusOf }: Question,
  stop: AbortSignal,
  report: (status: HostStatus) => void,
): Promise<void> {
  // The shell ends with the connection: it writes to it before each look.
  const loop = `while echo && { ${command(host)}; status=$?; [ $status -le 2 ]; }; do sleep ${seconds}; done; exit $status`;
  while (!stop.aborted) {
    const alive = ["-o", "ServerAliveInterval=10"];
    const ssh = spawn(file, [...alive, ...args, `exec sh -c ${shellQuote(loop)}`], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const end = () => {
      ssh.kill();
      for (const stream of [ssh.stdout, ssh.stderr]) stream.destroy();
    };
    stop.addEventListener("abort", end);
    let [silent, stderr, size, last] = [false, "", 0, 0];
    const giveUp = setTimeout(
      () => {
        silent = true;
        end();
      },
      (PATIENCE + seconds) * 1000,
    );
    // Before the lines are made of it: one that never ends would be kept.
    ssh.stdout.on("data", (text: Buffer) => {
      size += text.length;
      if (size > MOST * 1024 * 1024) end();
    });
    createInterface(ssh.stdout).on("line", (line) => {
      // One that writes for ever must neither keep the others waiting nor look alive.
      if (!line.startsWith('{"host":') || Date.now() - last < 500) return;
      last = Date.now();
      giveUp.refresh();
      size = 0;
      report(statusOf(host, address, { code: 0, stdout: line, stderr: "" }));
    });
    ssh.stderr.on("data", (text: Buffer) => (stderr = (stderr + text.toString()).slice(-4096)));
    ssh.on("error", (error: NodeJS.ErrnoException) => {
      stderr = error.code === "ENOENT" ? NO_SSH : error.message;
    });
    let [code] = (await once(ssh, "close").catch(() => [255])) as [number | null];
    clearTimeout(giveUp);
    stop.removeEventListener("abort", end);
    if (stop.aborted) return;
    if (size > MOST * 1024 * 1024) [code, stderr] = [-1, `more than ${MOST} MiB of it`];
    const status = statusOf(host, address, { code: silent ? null : (code ?? 255), stdout: "", stderr });
    report(silent ? { ...status, error: `did not answer in ${PATIENCE + seconds} s` } : status);
    await sleep(seconds * 1000, undefined, { signal: stop }).catch(() => undefined);
  }
}

/** Shows texts one after the other: in place on a terminal, otherwise each as a block of its own. */
export class Screen {
  private readonly terminal = process.stdout.isTTY;
  private readonly leave = () => void process.stdout.write("\u001b[?7h\u001b[?1049l");

  /** The terminal's other screen, so that what was there before comes back, with long lines cut: xterm's sequences. */
  constructor() {
    if (!this.terminal) return;
    process.stdout.write("\u001b[?1049h\u001b[?7l");
    process.once("exit", this.leave);
  }

  /** @param inTime whether it is time for a block */
  public show(text: string, inTime: boolean): void {
    if (!this.terminal) return inTime ? void process.stdout.write(`${text}\n\n`) : undefined;
    const all = text.split("\n");
    const most = process.stdout.rows - 1;
    const rows =
      all.length > most ? [...all.slice(0, most - 1), `… ${all.length - most + 1} more lines`] : all;
    process.stdout.write(`\u001b[H${rows.map((row) => `${row}\u001b[K\n`).join("")}\u001b[J`);
  }

  public close(): void {
    if (!this.terminal) return;
    process.removeListener("exit", this.leave);
    this.leave();
  }
}
