import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/**
 * Downloads an archive (.tar.gz), and unpacks its files into the folder, without the archive's own top folder. Nothing
 * is unpacked if the SHA-256 differs, and existing files stay if anything fails.
 */
export async function downloadVerified(
  url: string,
  sha256: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const archive = Buffer.from(await response.arrayBuffer());
  const found = createHash("sha256").update(archive).digest("hex");
  if (found !== sha256.toLowerCase()) {
    throw new Error(`${url} has the SHA-256 ${found}, and should have ${sha256}; it was not unpacked`);
  }
  await mkdir(join(folder, ".."), { recursive: true });
  const temporary = await mkdtemp(`${folder}.new-`);
  try {
    await writeFile(join(temporary, "archive"), archive);
    await mkdir(join(temporary, "files"));
    await execa("tar", ["-xzf", "archive", "--strip-components=1", "--no-same-owner", "-C", "files"], {
      cwd: temporary,
    });
    await rm(folder, { recursive: true, force: true });
    await rename(join(temporary, "files"), folder);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
