import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** This machine in a few words, for the line above a table. */
export function describeMachine(): string {
  const cpu = `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
  return `${cpu}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.versions.node}`;
}

/** Whether the CPU has AES instructions, which make aes-gcm much faster. */
export function hasAes(): boolean {
  return / (aes|pmull) /.test(readFileSync("/proc/cpuinfo", "utf8").replaceAll("\n", " "));
}

/** Clock ticks of all CPUs so far: the idle ones, and all. */
export function cpuTicks(): { idle: number; total: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: (ticks[3] ?? 0) + (ticks[4] ?? 0), total: ticks.reduce((sum, part) => sum + part, 0) };
}

/** The day of a measurement. */
export function today(): string {
  return new Date().toISOString().slice(0, 10);
}
