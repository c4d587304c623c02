import { writeFile } from "node:fs/promises";
import type { Host } from "./host.ts";

/** Where a lab keeps what ssh needs. */
export interface SshFiles {
  adminKeyFile: string;
  knownHostsFile: string;
  sshConfigFile: string;
}

/** Writes the known hosts and the client configuration of a lab. */
export async function writeSshFiles(files: SshFiles, hosts: Host[]): Promise<void> {
  const known = hosts.map((host) => `${host.name},${host.address},${host.address6} ${host.hostKey}\n`);
  await writeFile(files.knownHostsFile, known.join(""));
  const entries = hosts.map((host) => `Host ${host.name}\n  HostName ${host.address}\n`);
  const common = [
    "Host *",
    "  User root",
    `  IdentityFile "${files.adminKeyFile}"`,
    "  IdentitiesOnly yes",
    `  UserKnownHostsFile "${files.knownHostsFile}"`,
    "  GlobalKnownHostsFile /dev/null",
    "  StrictHostKeyChecking yes",
  ];
  await writeFile(files.sshConfigFile, entries.join("") + common.join("\n") + "\n");
}
