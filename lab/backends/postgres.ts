import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../exec.ts";
import type { Progress } from "../image.ts";
import { installPackages } from "../machine.ts";
import { asUser, type BackendServer, freePort, startServer, temporaryFolder } from "./server.ts";

const VERSIONS = "/usr/lib/postgresql";
/** Read by the package when it is installed: without it, it would start a server of its own. */
const NO_CLUSTER = "/etc/postgresql-common/createcluster.d/00-ssh-reverse-tunnel-lab.conf";
/** The package's account: PostgreSQL refuses to run as root. */
const USER = "postgres";

/** Starts Debian's PostgreSQL, and installs it if it is missing. */
export async function startPostgres(onProgress: Progress = () => undefined): Promise<BackendServer> {
  const programs = (await installed()) ?? (await install(onProgress));
  const folder = await temporaryFolder(USER);
  const [data, passwordFile] = [join(folder, "data"), join(folder, "password")];
  const password = randomBytes(16).toString("hex");
  await writeFile(passwordFile, password);
  await exec("chown", [USER, passwordFile]);
  const initdb = [
    join(programs, "initdb"),
    "--pgdata",
    data,
    "--username",
    "pulumi",
    "--auth",
    "scram-sha-256",
  ];
  await exec("setpriv", [...asUser(USER), ...initdb, "--pwfile", passwordFile], { timeoutSeconds: 120 });
  const port = await freePort();
  const where = ["-h", "127.0.0.1", "-p", String(port)];
  const stop = await startServer({
    name: "PostgreSQL",
    file: join(programs, "postgres"),
    args: ["-D", data, ...where, "-k", folder],
    folder,
    user: USER,
    signal: "INT",
    isReady: async () =>
      (await exec(join(programs, "pg_isready"), where, { allowFailure: true })).exitCode === 0,
  });
  const { stdout } = await exec(join(programs, "postgres"), ["--version"]);
  return {
    url: `postgres://pulumi@127.0.0.1:${port}/postgres?sslmode=disable`,
    env: { PGPASSWORD: password },
    name: `PostgreSQL ${/\d[\w.]*/.exec(stdout)?.[0] ?? ""}`,
    stop,
  };
}

/** The folder with the programs of the newest version on this machine. */
async function installed(): Promise<string | undefined> {
  const versions = (await readdir(VERSIONS).catch(() => [])).map(Number).toSorted((a, b) => b - a);
  for (const version of versions) {
    const programs = join(VERSIONS, String(version), "bin");
    if ((await readdir(programs).catch((): string[] => [])).includes("initdb")) return programs;
  }
  return undefined;
}

async function install(onProgress: Progress): Promise<string> {
  await mkdir(join(NO_CLUSTER, ".."), { recursive: true });
  await writeFile(NO_CLUSTER, "create_main_cluster = false\n");
  try {
    await installPackages(["postgresql"], onProgress);
  } finally {
    await rm(NO_CLUSTER);
  }
  const programs = await installed();
  if (programs === undefined)
    throw new Error(`Debian's PostgreSQL is not in ${VERSIONS}, where it should be.`);
  return programs;
}
