import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { downloadVerified } from "../lab/engine/download.ts";
import { findCli } from "../lab/engine/pulumi.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "download-"))));
afterEach(() => rmSync(folder, { recursive: true }));

describe("an archive that the lab downloads", () => {
  let archive: Buffer;
  let sum: string;
  let server: Server;
  let url: string;
  let serve: "whole" | "cut" | "absent";

  beforeEach(async () => {
    mkdirSync(join(folder, "pulumi"));
    writeFileSync(join(folder, "pulumi", "pulumi"), "#!/bin/sh\n", { mode: 0o755 });
    execFileSync("tar", ["-czf", "archive.tar.gz", "pulumi"], { cwd: folder });
    archive = readFileSync(join(folder, "archive.tar.gz"));
    sum = createHash("sha256").update(archive).digest("hex");
    rmSync(join(folder, "pulumi"), { recursive: true });
    rmSync(join(folder, "archive.tar.gz"));
    serve = "whole";
    server = createServer((_request, response) => {
      response.writeHead(serve === "absent" ? 404 : 200, { "content-length": archive.length });
      if (serve === "whole") response.end(archive);
      else response.write(archive.subarray(0, archive.length / 2), () => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive.tar.gz`;
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  const download = (sha256: string) =>
    downloadVerified(url, sha256, join(folder, "bin"), AbortSignal.timeout(10_000));

  test("is unpacked if it has the expected checksum", async () => {
    await download(sum.toUpperCase());
    expect(readdirSync(folder)).toEqual(["bin"]);
    expect(readFileSync(join(folder, "bin", "pulumi"), "utf8")).toBe("#!/bin/sh\n");
  });

  test("replaces what was there before", async () => {
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin", "older"), "");
    await download(sum);
    expect(readdirSync(join(folder, "bin"))).toEqual(["pulumi"]);
  });

  test("is not unpacked if its checksum differs, and the error names both checksums", async () => {
    const other = "0".repeat(64);
    await expect(download(other)).rejects.toThrow(`has the SHA-256 ${sum}, and should have ${other}`);
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each(["cut", "absent"] as const)("leaves nothing if it is %s", async (how) => {
    serve = how;
    await expect(download(sum)).rejects.toThrow(how === "absent" ? "answered 404" : "terminated");
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("no Pulumi is downloaded without a checksum, and the error says where to add one", async () => {
  vi.stubEnv("XDG_CACHE_HOME", folder);
  vi.stubEnv("PATH", folder);
  vi.stubEnv("LAB_PULUMI_SHA256", "");
  vi.stubGlobal("fetch", () => Promise.reject(new Error("it asked the network")));
  try {
    await expect(findCli(() => undefined)).rejects.toThrow(
      /nothing is downloaded without its checksum: LAB_PULUMI_SHA256 is not the SHA-256 of pulumi-v[\d.]+-linux-\w+\.tar\.gz.*needs Go/s,
    );
  } finally {
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
  }
});
