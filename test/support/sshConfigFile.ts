import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A folder for the PATH whose ssh has this configuration instead of the user's, which ssh finds without HOME.
 *
 * @param folder in which it is made
 */
export function installSsh(folder: string, config: string): string {
  const bin = mkdtempSync(join(folder, "bin-"));
  const ssh = execFileSync("/bin/sh", ["-c", "command -v ssh"], {
    encoding: "utf8",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
  }).trim();
  writeFileSync(join(bin, "config"), config);
  writeFileSync(join(bin, "ssh"), `#!/bin/sh\nexec ${ssh} -F '${join(bin, "config")}' "$@"\n`, {
    mode: 0o755,
  });
  return bin;
}
