import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Lab } from "../../lab/lab.ts";
import { cacheFolder } from "../../lab/image.ts";
import { rootImage } from "../../lab/root.ts";
import { missingSuites } from "../lab/support/suites.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "images-"));
  vi.stubEnv("XDG_CACHE_HOME", folder);
  // Nothing listens there.
  await writeFile(
    join(folder, "apt.conf"),
    'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9"; Acquire::Retries "0";\n',
  );
  vi.stubEnv("APT_CONFIG", join(folder, "apt.conf"));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

test("an image that cannot be fetched is reported with its release and the reason, and leaves nothing half-built", async () => {
  const said: string[] = [];
  await expect(rootImage("sid", (line) => said.push(line))).rejects.toThrow(
    /^Cannot build the image of sid: see whether "apt-get update" works on this machine\. [^]*127\.0\.0\.1/,
  );
  expect(said).toEqual(["Building the image of the hosts (sid), once …"]);
  expect(await readdir(cacheFolder())).toEqual([]);
});

test("a lab with a host of such a release does not come up, and reports the same", async () => {
  const hosts = [{ name: "gate", suite: "sid" as const }];
  await expect(Lab.up({ name: "images", hosts })).rejects.toThrow("Cannot build the image of sid: ");
  await expect(Lab.open("images")).rejects.toThrow('The lab "images" is not up');
});

test("the tests are informed of the missing releases and the reason", async () => {
  const missing = await missingSuites(["sid"]);
  expect([...missing.keys()]).toEqual(["sid"]);
  expect(missing.get("sid")).toContain("Cannot build the image of sid: ");
});
