import { access, constants, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { exec } from "./exec.ts";
import type { Progress } from "./image.ts";

/** The programs that the lab needs, and the Debian package of each. */
const TOOLS: Record<string, string> = {
  mmdebstrap: "mmdebstrap",
  "systemd-nspawn": "systemd-container",
  ip: "iproute2",
  bridge: "iproute2",
  nsenter: "util-linux",
  setpriv: "util-linux",
  getfattr: "attr",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
};

/** What it also needs for guests. */
const GUEST_TOOLS: Record<string, string> = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  mke2fs: "e2fsprogs",
};

/** Throws unless this process can run a lab at all. */
export function requireRoot(): void {
  if (process.platform !== "linux") {
    throw new Error("The lab needs Linux: run it in a virtual machine, or leave it to the CI.");
  }
  if (process.getuid?.() !== 0) {
    throw new Error("The lab needs root, for it boots hosts in network namespaces: run it again under sudo.");
  }
}

/**
 * Every systemd takes a dozen inotify instances, and the kernel allows only 128 for all hosts and this machine
 * together. If none is left, a host boots without a bus. Otherwise only memory limits them.
 */
export async function raiseInotifyLimit(): Promise<void> {
  const limit = "/proc/sys/fs/inotify/max_user_instances";
  if (Number(await readFile(limit, "utf8")) < 4096) await writeFile(limit, "4096");
}

/** Installs what the lab needs and this machine lacks; QEMU, too, if the lab has guests. */
export async function requireTools(onProgress: Progress, guests = false): Promise<void> {
  const tools = guests ? { ...TOOLS, ...GUEST_TOOLS } : TOOLS;
  const missing: string[] = [];
  for (const tool of Object.keys(tools)) if (!(await onPath(tool))) missing.push(tool);
  // Ubuntu's mmdebstrap needs Debian's keys to check Debian's signatures.
  const keyring = await exists("/usr/share/keyrings/debian-archive-keyring.gpg");
  const packages = [...new Set(missing.map((tool) => tools[tool] ?? tool))];
  if (!keyring) packages.push("debian-archive-keyring");
  if (packages.length === 0) return;
  await installPackages(packages, onProgress);
}

/** Installs packages of Debian's with apt. */
export async function installPackages(packages: string[], onProgress: Progress): Promise<void> {
  if (!(await onPath("apt-get"))) {
    throw new Error(`The lab needs ${packages.join(", ")}: install them with this system's package manager.`);
  }
  onProgress(`Installing ${packages.join(", ")} …`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  try {
    await exec("apt-get", ["update"], { env, timeoutSeconds: 300 });
    await exec("apt-get", install, { env, timeoutSeconds: 600 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot install ${packages.join(", ")}: install them by hand, then try again. ${reason}`,
      { cause: error },
    );
  }
}

async function onPath(tool: string): Promise<boolean> {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  for (const folder of folders) if (folder && (await exists(join(folder, tool)))) return true;
  return false;
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
