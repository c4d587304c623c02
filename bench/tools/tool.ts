import type { Pair } from "../pair.ts";

/** One of the compared programs. */
export interface Tool {
  /** For options and results. */
  id: string;
  /** In tables and plots. */
  title: string;
  /** What it is and how it is configured, in a sentence, for the document. */
  settings: string;
  /** Where it listens on the public host. */
  port: number;
  /** The name of the process on the internal host that holds the connection, and of its unit. */
  client: { process: string; unit: (pair: Pair) => string };
  /** Its server's unit on the public host; absent: sshd. */
  server?: string;
  /** What it is built from, for install.sh: name@version. Absent: everything is in the hosts' image. */
  source?: string;
  /** Packages that it needs on the public host in addition to those of every host. */
  packages?: string[];
  /** Its version, if it is not built from source. */
  version?: string;
  /** Whether it has a tunnel to a second public host of the pair as well, and a client asks at both. */
  usesSpare?: boolean;
  /** Installs it on the hosts, enabled but not started; `programs` is the folder of what install.sh has built. */
  install: (pair: Pair, programs: string) => Promise<void>;
}

/** The arguments of the plain ssh client for a tunnel to the target program. */
export function remoteForward(pair: Pair, port: number): string {
  return `-R 0.0.0.0:${port}:127.0.0.1:7000 tunnel@${pair.gate.address}`;
}
