import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { cachedImage, debianTree } from "./image.ts";
import type { Progress } from "./image.ts";

/** The Debian releases that a host of the lab can have; the first is the default. */
export const SUITES = ["bookworm", "trixie", "sid"] as const;
export type Suite = (typeof SUITES)[number];

/** What every host of the lab has installed. */
export const PACKAGES = [
  ...["systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "procps", "iproute2"],
  ...[
    "policycoreutils-python-utils",
    "selinux-policy-default",
    "firewalld",
    "ufw",
    "nftables",
    "python3",
    "busybox",
  ],
];

/** sid's policy cannot be installed, its server does not include the client, and its awk is gawk, as on RHEL. */
function packagesOf(suite: Suite): string[] {
  if (suite !== "sid") return PACKAGES;
  return [...PACKAGES.filter((name) => !/policy/.test(name)), "openssh-client", "gawk"];
}

/** What turns a Debian tree into a host of the lab. */
export const SCRIPT = fileURLToPath(new URL("root.sh", import.meta.url));

/** The Debian tree below the hosts of one release, read-only. For sid, it is the state when the image was built. */
export async function rootImage(suite: Suite, onProgress: Progress, more: string[] = []): Promise<string> {
  const packages = [...packagesOf(suite), ...more];
  const text = JSON.stringify(packages) + (await readFile(SCRIPT, "utf8"));
  const build = (target: string) => debianTree(suite, target, packages, [SCRIPT]);
  return cachedImage(
    { what: `the image of the hosts (${[suite, ...more].join(", ")})`, prefix: `root-${suite}`, text, build },
    onProgress,
  );
}
