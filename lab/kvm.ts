import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "./exec.ts";

/** What runs a guest's instructions: this machine's processor or, ten times slower, an emulator. */
export type Accelerator = "kvm" | "tcg";

/**
 * mov al, 16; out 0xf4, al; hlt; and a jump back: the beginning of a disk whose machine ends with the status 2 × 16 +
 * 1.
 */
const SECTOR = Buffer.alloc(512);
SECTOR.set([0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
SECTOR.set([0x55, 0xaa], 510);

let found: Promise<Accelerator> | undefined;

/**
 * Tested with a machine that boots these three instructions. /dev/kvm may exist and be useless: in some virtual
 * machines it takes two seconds for what QEMU's emulator does in a tenth of one.
 */
export function accelerator(): Promise<Accelerator> {
  found ??= works("kvm", 1).then((yes) => (yes ? "kvm" : "tcg"));
  return found;
}

/** Whether such a machine runs here, and finishes in time. */
export async function works(accel: Accelerator, seconds: number): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "kvm-"));
  try {
    const disk = join(folder, "disk");
    await writeFile(disk, SECTOR);
    const args = [
      ...["-machine", "pc", "-accel", accel, "-cpu", "max", "-nodefaults", "-display", "none", "-no-reboot"],
      ...["-drive", `file=${disk},format=raw,if=ide`, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
    ];
    const result = await exec("timeout", ["-s", "KILL", String(seconds), "qemu-system-x86_64", ...args], {
      allowFailure: true,
    });
    return result.exitCode === 33;
  } finally {
    await rm(folder, { recursive: true });
  }
}
