import type { Host } from "../../../lab/host.ts";
import type { Snapshot } from "../../../lab/snapshot.ts";

/** What useradd and userdel leave: backups of the account files, and new times on the files themselves. */
const accountFiles = /^changed \/etc\/(passwd|group|shadow|gshadow|subuid|subgid)(- \(.*\)| \(mtime\))$/;

/** semanage compiles the policy again and counts how often; `semanage port -l` shows its content. */
const policyStore =
  /^changed \/(var\/lib|etc)\/selinux\/\S+ \(mtime\)$|^changed \/var\/lib\/selinux\/\w+\/active\/commit_num /;

/** What was added to a host or removed from it, once everything of ours should be gone. */
export async function leftovers(host: Host, since: Snapshot): Promise<string[]> {
  const changes = await host.changesSince(since);
  return changes.filter((line) => !accountFiles.test(line) && !policyStore.test(line));
}
