import type { Host } from "../../../lab/host.ts";
import type { Snapshot } from "../../../lab/snapshot.ts";

/** What useradd and userdel leave: backups of the account files, and new times on the files themselves. */
const accountFiles = /^changed \/etc\/(passwd|group|shadow|gshadow|subuid|subgid)(- \(.*\)| \(mtime\))$/;

/** A file that was edited and is again what it was, byte for byte. */
const onlyTheTime = /^changed \/(root|home\/\w+)\/\.ssh\/(authorized_keys|config) \(mtime\)$/;

/** What is on a host and was not, or was and is not, once everything of ours should be gone. */
export async function leftovers(host: Host, since: Snapshot): Promise<string[]> {
  const changes = await host.changesSince(since);
  return changes.filter((line) => !accountFiles.test(line) && !onlyTheTime.test(line));
}
