import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../exec.ts";
import { buildOnce, cacheFolder, type Progress } from "../image.ts";
import { type BackendServer, freePort, startServer, temporaryFolder } from "./server.ts";

/** The Versity S3 Gateway: an S3 server on a folder, under the Apache license, built from its Go module. */
const VERSION = "1.8.0";
const MODULE = `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`;
const REGION = "us-east-1";
const BUCKET = "states";

/** Starts an S3 server with one empty bucket; builds it if that has not been done yet, which takes minutes and needs Go. */
export async function startS3(onProgress: Progress = () => undefined): Promise<BackendServer> {
  const program = join(cacheFolder(), `versitygw-${VERSION}`);
  await buildOnce(program, { what: `versitygw ${VERSION}, an S3 server`, build }, onProgress);
  const folder = await temporaryFolder();
  const [data, metadata] = [join(folder, "data"), join(folder, "metadata")];
  await mkdir(join(data, BUCKET), { recursive: true });
  await mkdir(metadata);
  const [key, secret] = [randomBytes(10).toString("hex"), randomBytes(20).toString("hex")];
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const stop = await startServer({
    name: "versitygw",
    file: join(program, "versitygw"),
    args: [
      ...["--port", endpoint.replace("http://", ""), "--region", REGION, "--quiet"],
      // Not every file system has extended attributes.
      ...["posix", "--sidecar", metadata, data],
    ],
    env: { ROOT_ACCESS_KEY: key, ROOT_SECRET_KEY: secret },
    folder,
    signal: "TERM",
    isReady: () =>
      fetch(endpoint).then(
        () => true, // It refuses who has no key.
        () => false,
      ),
  });
  return {
    url: `s3://${BUCKET}?region=${REGION}&endpoint=${endpoint}&s3ForcePathStyle=true`,
    env: { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret },
    name: `S3 (versitygw ${VERSION})`,
    stop,
  };
}

async function build(target: string): Promise<void> {
  const go = await exec("go", ["version"], { allowFailure: true });
  if (go.exitCode !== 0) {
    throw new Error(
      "The lab's S3 server is built with Go, which was not found: install it (https://go.dev/doc/install).",
    );
  }
  // -s -w leave out the debugging tables: half the size, and faster linking.
  const flags = ["-trimpath", "-ldflags", "-s -w"];
  const env = { GOBIN: target, CGO_ENABLED: "0" };
  await exec("go", ["install", ...flags, MODULE], { env, timeoutSeconds: 3600 });
}
