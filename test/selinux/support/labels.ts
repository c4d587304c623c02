import type { Host } from "../../../lab/host.ts";
import { ALWAYS_CHANGING } from "../../../lab/snapshot.ts";

/** What restorecon would change of these paths, and of all below those that are folders of ours. */
export async function wrongLabels(host: Host, paths: string[]): Promise<string[]> {
  const { stdout, stderr } = await host.run("xargs restorecon -n -v", { input: paths.join("\n") });
  return `${stdout}\n${stderr}`.split("\n").filter(Boolean);
}

/** Besides those, what useradd and semanage keep for themselves. */
const OTHERS = [
  "/etc/passwd-",
  "/etc/group-",
  "/etc/shadow-",
  "/etc/gshadow-",
  "/etc/subuid-",
  "/etc/subgid-",
];
const STORE = ["/var/lib/selinux", "/etc/selinux/default/policy"];

/** What semanage writes anew has the SELinux user of whoever called it, which no rule asks for. */
const OWN_USER = /^(\/etc\/selinux\/default\/.* )\w+_u:/;

/** Every file of a host: path, kind, mode, owner, SELinux label, and, where it may be ours, what is in it. */
export async function filesOf(host: Host): Promise<string[]> {
  const prune = [...ALWAYS_CHANGING, ...OTHERS, ...STORE].map((path) => `-path ${path}`).join(" -o ");
  const { stdout } = await host.run(
    `find / \\( ${prune} -o -path /usr/share -o -path /usr/lib -o -path /var/log \\) -prune -o -printf '%p %y %m %U:%G %Z %l\\n'
     find /etc /root /home /opt /usr/local \\( ${prune} \\) -prune -o -type f -exec sha256sum {} +`,
  );
  return stdout
    .split("\n")
    .map((line) => line.replace(OWN_USER, "$1"))
    .sort();
}
