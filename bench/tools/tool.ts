import type { Pair } from "../pair.ts";

/** One of the programs that are compared. */
export interface Tool {
  /** For options and results. */
  id: string;
  /** In tables and plots. */
  title: string;
  /** What it is and how it is set, in a sentence: for the document. */
  settings: string;
  /** Where it listens on the public host. */
  port: number;
  /** The name of the process on the internal host that holds the connection, and of its unit. */
  client: { process: string; unit: (pair: Pair) => string };
  /** Its server's unit on the public host; absent: sshd. */
  server?: string;
  /** What it is built from, for install.sh: name@version. Absent: all is in the hosts' image. */
  source?: string;
  /** Its version, where there is no source. */
  version?: string;
  /** Puts it on both hosts, enabled and not started; `programs` is the folder of what install.sh has built. */
  install: (pair: Pair, programs: string) => Promise<void>;
}

/** The plain ssh client's arguments for a tunnel to the program behind it. */
export function remoteForward(pair: Pair, port: number): string {
  return `-R 0.0.0.0:${port}:127.0.0.1:7000 tunnel@${pair.gate.address}`;
}
