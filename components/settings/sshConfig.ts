import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { AdminLogin } from "./adminConnection.ts";
import { expandHome } from "./adminConnection.ts";
import { inputError } from "./inputError.ts";
import { keyMistake } from "./privateKey.ts";

/** How ssh on the machine that runs Pulumi would log in to a host. */
export interface SshConfig extends AdminLogin {
  port: number;
  user: string;
  /** The files of private keys that ssh would try, in order. IdentityFile. */
  identityFiles: string[];
  /** Whether they are configured; otherwise they are those that ssh tries by itself. */
  hasOwnKeys: boolean;
  /** The jump host. ProxyJump. */
  bastion?: SshConfig;
}

/**
 * The runner's own ssh configuration for a host, as `ssh -G` prints it: ssh_config(5). Nothing is executed except what
 * `ssh -G` itself executes (`Match exec`).
 *
 * @param name what the user types after `ssh`
 * @param direct whether the host is reached in another way, so that its ProxyJump and ProxyCommand do not matter
 * @throws an error without the name: "there is no ssh …; install …"
 */
export function readSshConfig(name: string, direct = false): SshConfig {
  const options = printedFor(name);
  const one = (option: string) => {
    const value = options.get(option)?.[0];
    return value === "none" ? undefined : value;
  };
  const address = one("hostname") ?? name;
  const user = one("user") ?? userInfo().username;
  const jump = direct ? undefined : one("proxyjump");
  if (!direct && one("proxycommand") !== undefined) {
    throw inputError(
      `ssh's configuration for '${name}' has a ProxyCommand, which the command provider cannot run; use ProxyJump there, or set bastion`,
    );
  }
  if (jump?.includes(",")) throw severalHops(`'${name}' has several hosts in its ProxyJump (${jump})`);
  const bastion = jump === undefined ? undefined : readSshConfig(asUrl(jump));
  if (bastion?.bastion) throw severalHops(`the jump host '${jump}' of '${name}' has a ProxyJump of its own`);
  const alias = one("hostkeyalias");
  const agent = socketOf(options.get("identityagent")?.[0]);
  const keys = options.get("identityfile") ?? [];
  return {
    address,
    port: Number(one("port") ?? 22),
    user,
    identityFiles: keys.filter((file) => file !== "none").map((file) => expanded(name, file)),
    hasOwnKeys: String(keys) !== String(printedFor(name, "-F", "none").get("identityfile")),
    knownHostsFile: ["userknownhostsfile", "globalknownhostsfile"]
      // The names have no quotes here, but may have spaces.
      .flatMap((option) => one(option)?.split(/ (?=[~/])/) ?? [])
      .filter((file) => file !== "/dev/null"),
    ...(alias === undefined ? {} : { hostKeyAlias: alias }),
    ...(agent === undefined ? {} : { agentSocketPath: agent }),
    ...(bastion ? { bastion } : {}),
  };
}

function severalHops(what: string): Error {
  return inputError(
    `ssh's configuration: ${what}, and the command provider supports only one host on the way; set bastion to one from which the host can be reached directly`,
  );
}

/**
 * The name of a private key file with its tokens and variables replaced: `ssh -G` does that for UserKnownHostsFile, which
 * has the same ones, but not for IdentityFile.
 */
function expanded(name: string, file: string): string {
  if (!/%|\$\{|^~[^/]/.test(file)) return file;
  const quoted = `"${file.replaceAll(/["\\]/g, "\\$&")}"`;
  try {
    return printedFor(name, "-o", `UserKnownHostsFile ${quoted}`).get("userknownhostsfile")![0]!;
  } catch (error) {
    throw inputError(
      `ssh's configuration for '${name}' has the IdentityFile ${file}, which ssh itself cannot expand; correct it there, or set privateKeyFile here`,
      undefined,
      error,
    );
  }
}

/**
 * The login for the command provider. It can try only one private key, and asks no ssh-agent if it has one, whereas ssh
 * asks the agent first. So a file that is not configured is taken only if no agent has a key. Of several files, it is the
 * first that the provider can use. If it can use none, that is left to the agent, or reported for the first one.
 *
 * @param own what the settings have; none of it is replaced
 */
export function loginFrom(found: SshConfig, own: Partial<AdminLogin> = {}): AdminLogin {
  const { identityFiles, hasOwnKeys, ...login } = found;
  delete login.bastion;
  if (own.privateKey !== undefined || own.privateKeyFile !== undefined || own.password !== undefined)
    return login;
  const agent = own.agentSocketPath ?? login.agentSocketPath ?? process.env.SSH_AUTH_SOCK ?? "";
  const there = identityFiles.filter((file) => existsSync(expandHome(file)));
  const usable = there.find((file) => isUsable(file, own.passphrase !== undefined));
  // ssh has a list of files that it tries if none is configured.
  const first = there[0] ?? (identityFiles.length === 1 ? identityFiles[0] : undefined);
  const isLeft =
    usable === undefined ? agent !== "" : !hasOwnKeys && own.passphrase === undefined && mayHaveKeys(agent);
  const file = isLeft ? undefined : (usable ?? first);
  return { ...login, ...(file === undefined ? {} : { privateKeyFile: file }) };
}

/** By socket: whether the agent may have keys. Some agents ask their user, so each is asked only once. */
const agents = new Map<string, boolean>();

function mayHaveKeys(socket: string): boolean {
  if (socket === "") return false;
  const asked = agents.get(socket) ?? !isEmpty(socket);
  agents.set(socket, asked);
  return asked;
}

/** One that does not answer is reported as such later. */
function isEmpty(socket: string): boolean {
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  const { stdout } = spawnSync("ssh-add", ["-l"], { encoding: "utf8", env, stdio: "pipe", timeout: 5_000 });
  return /^The agent has no identities/.test(stdout ?? "");
}

function isUsable(file: string, hasPassphrase: boolean): boolean {
  try {
    return keyMistake(readFileSync(expandHome(file), "utf8"), hasPassphrase) === undefined;
  } catch {
    return false;
  }
}

/** What `ssh -G` prints: each option in lower case, with its values. */
function printedFor(name: string, ...options: string[]): Map<string, string[]> {
  const printed = new Map<string, string[]>();
  for (const line of run(name, options).split("\n")) {
    const [, option = "", value = ""] = /^(\S+) (.*)$/.exec(line) ?? [];
    printed.set(option, [...(printed.get(option) ?? []), value]);
  }
  return printed;
}

function run(name: string, options: string[]): string {
  try {
    return execFileSync("ssh", [...options, "-G", "--", name], {
      encoding: "utf8",
      stdio: "pipe",
      timeout: 30_000,
    });
  } catch (error) {
    const { code, stderr = "", message } = error as Error & { code?: string; stderr?: string };
    if (code === "ENOENT") {
      throw inputError(
        "there is no ssh on the PATH here to read its configuration with; install OpenSSH's client, or set address, user and privateKeyFile instead",
        undefined,
        error,
      );
    }
    const why = stderr.trim().split("\n").at(-1) || message;
    throw inputError(`'ssh -G ${name}' fails (${why}); correct ssh's configuration`, undefined, error);
  }
}

/** A host of ProxyJump, `[user@]host[:port]` or a URL, as a destination of ssh. */
function asUrl(jump: string): string {
  return jump.startsWith("ssh://") ? jump : `ssh://${jump}`;
}

/** IdentityAgent: a path, or the name of a variable; "" for none. SSH_AUTH_SOCK is used anyway. */
function socketOf(agent: string | undefined): string | undefined {
  if (agent === undefined || agent === "SSH_AUTH_SOCK") return undefined;
  if (agent === "none") return "";
  return agent.startsWith("$") ? process.env[agent.replaceAll(/[${}]/g, "")] : expandHome(agent);
}
