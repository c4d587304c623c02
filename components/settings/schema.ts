import { z } from "zod";
import { defaultPortRange, isListener, noBanner, parseTarget, probes, sourcesMistake } from "./forward.ts";
import { defaultToolsDirectory } from "../remote/host.ts";
import { keepAlivePresets } from "./keepAlive.ts";
import type { KeepAlive, KeepAlivePreset } from "./keepAlive.ts";
import { networkWords, parseNetwork } from "./network.ts";
import {
  isProxyPassword,
  isProxyUser,
  parseProxyUrl,
  proxyLoginMistake,
  proxyPasswordWords,
  proxyUrlWords,
  proxyUserWords,
} from "./proxy.ts";
import { accountWordsFor, namePatterns } from "../render/checks.ts";

/**
 * The schema of the settings: `load.ts` checks with it, and docs/settings.md is written from it. Errors are phrased as
 * "must be …"; loadConfig puts them after the path and the value found.
 */

const must = (what: string) => ({ error: `must be ${what}` });

const text = (what: string, pattern: RegExp) => z.string(must(what)).regex(pattern, must(what));

const anyPort = must("a port from 1 to 65535");
const port = z.int(anyPort).min(1, anyPort).max(65535, anyPort);
const portOrAuto = "a port from 1024 to 65535, or 'auto'";
const remotePort = z
  .int(must(portOrAuto))
  .min(1024, must("1024 or above: sshd listens on a port below only for root, and the tunnel is not root"))
  .max(65535, must(portOrAuto));

/** An object of settings: an unknown key is a mistake. */
const settings = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape, must("a map of settings"));

const seconds = (least: number) => {
  const what = `a whole number of seconds, ${least} or more`;
  return z.int(must(what)).min(least, must(what)).max(86400, must("at most 86400 seconds"));
};

const count = z.int(must("a whole number, 1 or more")).min(1, must("a whole number, 1 or more"));

const restartTime = "a number of seconds from 0.1 to 86400, with at most one decimal place";

const keepAlivePresetNames = Object.keys(keepAlivePresets) as KeepAlivePreset[];

/** A setting whose default depends on the preset. */
const fromPreset = <T extends z.ZodType>(schema: T, key: keyof KeepAlive, what: string) =>
  schema
    .optional()
    .describe(
      `${what} Absent: ${keepAlivePresetNames.map((name) => `${keepAlivePresets[name][key]} (${name})`).join(", ")}.`,
    );

const address = text("a host name or an IP address", /^[A-Za-z0-9][A-Za-z0-9.:_-]*$|^::[0-9a-fA-F:.]*$/);

const notAnAccount = { error: ({ input }: { input?: unknown }) => `must be ${accountWordsFor(input)}` };
const account = z.string(notAnAccount).regex(namePatterns.account, notAnAccount);

const hostName = /^[a-z][a-z0-9-]{0,62}$/;

/** A non-empty record whose keys match a pattern. */
function records<T extends z.ZodType>(value: T, pattern: RegExp, what: string) {
  return mapOf(value, pattern, what).refine(
    (all) => Object.keys(all).length > 0,
    must(`a map with at least one of the ${what}`),
  );
}

/** A record whose keys match a pattern. */
function mapOf<T extends z.ZodType>(value: T, pattern: RegExp, what: string) {
  const name =
    "must have a name of a-z, 0-9 and '-' that begins with a letter and is not too long, since units and accounts are named after it";
  return z.record(z.string().regex(pattern), value, {
    error: (issue) => (issue.code === "invalid_key" ? name : `must be a map of ${what} by name`),
  });
}

const login = {
  port: port.default(22).describe("The port of its sshd."),
  user: account.default("root").describe("root, or an account that can use `sudo -n`."),
  privateKey: z.string(must("a private key")).optional().describe("A private key. Set it as a secret."),
  privateKeyFile: z
    .string(must("a path"))
    .optional()
    .describe("A file with a private key on the machine that runs Pulumi."),
  passphrase: z
    .string(must("a passphrase"))
    .optional()
    .describe("The passphrase of an encrypted private key. Set it as a secret."),
  password: z.string(must("a password")).optional().describe("A password. Set it as a secret."),
  agentSocketPath: z
    .string(must("a path"))
    .optional()
    .describe("The socket of an ssh-agent. Absent: SSH_AUTH_SOCK, if it is set."),
  hostKey: text(
    // The provider can use a pinned RSA key only with SHA-1 signatures, which no current sshd offers.
    "an ed25519 or ecdsa host key, 'ssh-ed25519 AAAA…'",
    /^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+$/,
  )
    .optional()
    .describe(
      "The host's public key, as in /etc/ssh/ssh_host_ed25519_key.pub. Absent: the key in known_hosts on the machine that runs Pulumi.",
    ),
  knownHostsFile: z
    .string(must("a path"))
    .optional()
    .describe("The known_hosts file to use instead of ~/.ssh/known_hosts."),
};

/** Not an option of ssh, and nothing that a shell would interpret. */
const sshName = /^[A-Za-z0-9_][A-Za-z0-9_.:@%+-]*$/;

/** Whether ssh may be asked about it. */
export const isSshName = (name: unknown): name is string => typeof name === "string" && sshName.test(name);

const bastion = settings({ address: address.describe("Name or address of the bastion."), ...login });

const admin = settings({
  ssh: text("a name that ssh knows, as in 'ssh nas'", sshName)
    .optional()
    .describe(
      "What you type after `ssh` to log in to the host from the machine that runs Pulumi. Address, port, account, private key, known_hosts and jump host are then those of its ssh_config (`ssh -G`), unless they are set here. While an ssh-agent has keys, a private key file is used only if IdentityFile names it, or with `passphrase`. A certificate is used only from an agent.",
    ),
  address: address
    .optional()
    .describe("The address at which Pulumi reaches the host. Absent: its `address`."),
  ...login,
  bastion: bastion.optional().describe("A jump host on the way, with its own login."),
  acceptAnyHostKey: z
    .boolean(must("true or false"))
    .default(false)
    .describe("Accept any host key, with a warning. For experiments only."),
});

/** A forward, perhaps of one tunnel; neither name has a dot. */
const aWay = "the name of a forward, or of a tunnel and its forward: '<tunnel>.<forward>'";
const way = text(aWay, /^([a-z][a-z0-9-]{0,23}\.)?[a-z][a-z0-9-]{0,30}$/);

const insideAdmin = admin.extend({
  throughTunnel: z
    .union([way, z.array(way).min(1, must("a list with at least one forward"))], must(aWay))
    .optional()
    .describe(
      "The forward through which Pulumi reaches the host once the tunnel is up. It needs a fixed port and must lead to the host's sshd. If several tunnels of the host have this forward, `pulumi up` tries them in order and takes the first that answers; a list of `<tunnel>.<forward>` sets another order. `port` and `bastion` are then ignored, and `address` is not dialed.",
    ),
});

const range = settings({
  first: port.describe("The first port."),
  last: port.describe("The last port."),
}).refine(({ first, last }) => first <= last, must("a range whose first port is not above its last"));

const folder = text("the absolute path of a folder, without a slash at the end", namePatterns.folder);

const textfileDirectory = folder
  .optional()
  .describe(
    "The folder that node_exporter on this host reads text files from. `ssh-tunnel-<name>.prom` is added there. Absent: no metrics.",
  );

const toolsDirectory = folder
  .default(defaultToolsDirectory)
  .describe(
    "The folder for this project's scripts and programs on the host. Root runs them, so only root may be able to write to it or to any folder above it. With SELinux, it gets a file-context rule if systemd could not start programs there.",
  );

const namespaces = z
  .boolean(must("true or false"))
  .default(true)
  .describe(
    "Whether the services on this host run in namespaces of their own, which hide files and devices from them. Set it to false for a container in which systemd may not make any (`226/NAMESPACE`), such as an unprivileged LXC container without `nesting=1`.",
  );

const gone = (what: string) =>
  z
    .boolean(must("true or false"))
    .default(false)
    .describe(
      `Set it to true if the host will not come back. \`pulumi up\` then never connects to it, and ${what}. After that, remove its entry.`,
    );

const skip = z
  .boolean(must("true or false"))
  .default(false)
  .describe(
    "Whether to leave the host as it is for now, because it is off or cannot be reached. Pulumi does not connect to it, and nothing is planned for it, for its tunnels, or for what they have on other hosts.",
  );

const enabled = (what: string) => z.boolean(must("true or false")).default(true).describe(what);

const list = (item: z.ZodType<string>, what: string) =>
  z.array(item, must(`a list of ${what}`)).min(1, must(`a list of ${what} with at least one entry`));

const notify = settings({
  command: z
    .string(must("a shell command"))
    .regex(/^(?=[^]*\S)[^\0]*$/, must("a shell command"))
    .describe(
      "A shell command, or a script that begins with `#!`. It finds what has happened in its environment: `TUNNEL`, `FORWARD`, `STATE`, `SINCE`, `CODE`, `REASON` and `MESSAGE`. See [monitoring.md](monitoring.md#without-prometheus).",
    ),
  delaySec: seconds(0)
    .default(120)
    .describe("Seconds for which a change must have lasted. A shorter one is not reported."),
  secret: z
    .string(must("text"))
    .regex(/^[^\0]+$/, must("text of at least one character, without NUL"))
    .optional()
    .describe(
      "What nobody else may read, such as the URL of a webhook. Set it as a secret. The command finds it in the file `$SECRET_FILE`.",
    ),
  account: account
    .optional()
    .describe(
      "An existing account of the host that runs the command. Absent: systemd makes one that owns nothing and exists only meanwhile (DynamicUser).",
    ),
});

/** One entry of `publicHosts`. */
export const publicHostSchema = settings({
  managedBy: text(
    "a stack, as in a StackReference: 'public', or '<organization>/<project>/<stack>'",
    /^([A-Za-z0-9_.-]+\/){0,2}[A-Za-z0-9_.-]+$/,
  )
    .optional()
    .describe(
      "The stack that manages this host, if another one does: its name, or `<organization>/<project>/<stack>` (the organization is `organization` on backends other than Pulumi Cloud). Its outputs then have the host keys and whatever else is left out here, and this stack changes on the host only what its own tunnels need. See [environments](environments.md#one-public-host-many-stacks).",
    ),
  address: address.describe(
    "The name or address at which internal hosts reach it. With `admin.ssh`, it may be left out: then it is the HostName in ssh_config. With `managedBy` as well: then it is that of the other stack.",
  ),
  sshPort: port.default(22).describe("The port of its sshd, as internal hosts reach it."),
  listenOnSshPort: z
    .boolean(must("true or false"))
    .default(false)
    .describe(
      "Whether its sshd also listens on `sshPort`, in addition to where it listens already (Port). firewalld or ufw then opens it to everyone, and SELinux gives it to sshd. Leave it out if a router, sslh or HAProxy passes `sshPort` on to sshd.",
    ),
  admin: admin.prefault({}).describe("How Pulumi reaches it."),
  skip,
  allowUsers: list(account, "accounts")
    .optional()
    .describe(
      "Only these accounts and the tunnels' accounts may log in (AllowUsers). It must include the admin. All stacks that set it for the same host must list the same accounts. Absent: the host's setting stays.",
    ),
  clientAliveIntervalSec: seconds(1)
    .default(15)
    .describe("Seconds without data from a tunnel before sshd sends a keep-alive (ClientAliveInterval)."),
  clientAliveCountMax: count
    .default(3)
    .describe("Unanswered keep-alives before sshd ends the session (ClientAliveCountMax)."),
  permitListen: list(text("host:port, as in PermitListen", /^[A-Za-z0-9.:*[\]_-]+$/), "host:port")
    .optional()
    .describe(
      "An upper limit on where the forwards of this stack's tunnels may listen, as in PermitListen. With `remotePort: auto` it must include the whole `portRange`. Each key is limited to its own ports in any case. Other stacks have their own limits.",
    ),
  permitOpen: list(text("host:port, as in PermitOpen", /^[A-Za-z0-9.:*[\]_-]+$/), "host:port")
    .optional()
    .describe(
      "An upper limit on where this stack's tunnels may connect to on this host, as in PermitOpen. Each key is limited to its own ports in any case, so this must include them.",
    ),
  portRange: range.prefault(defaultPortRange).describe("The ports that `remotePort: auto` chooses from."),
  installPackages: z
    .boolean(must("true or false"))
    .default(true)
    .describe("Whether to install the package with semanage if SELinux is enabled and semanage is missing."),
  textfileDirectory,
  notify: notify
    .optional()
    .describe(
      "Runs a command on this host when a tunnel of the stack goes down there, and when it is back. The host needs systemd 247 or later. Absent: nobody is notified.",
    ),
  toolsDirectory,
  namespaces,
  gone: gone("removes its tunnels from the internal hosts"),
});

const network = z.string(must(networkWords)).superRefine((text, found) => {
  const parsed = parseNetwork(text);
  if ("mistake" in parsed) found.addIssue({ code: "custom", message: parsed.mistake });
});

const forward = settings({
  enabled: enabled(
    "Whether the forward exists at present. `false` closes its port; with `remotePort: auto`, `true` opens the same one again if it is still free.",
  ),
  remotePort: z
    .union([remotePort, z.literal("auto")], must(portOrAuto))
    .describe(
      "The port on the public host, or `auto` for a free one, which stays the same for the life of the stack.",
    ),
  target: z
    .union([z.string(), z.number()], must("host:port, [v6]:port, or a port of the internal host"))
    .refine(
      (value) => parseTarget(value) !== undefined,
      must("host:port, [v6]:port, or a port of the internal host"),
    )
    .describe(
      "Where connections are forwarded to, as seen from the internal host: `host:port`, or a port of the internal host itself.",
    ),
  listen: z
    .string(must("'loopback', 'all', or an IP address of the public host"))
    .refine(isListener, must("'loopback', 'all', or an IP address of the public host"))
    .default("loopback")
    .describe(
      "Where the port listens: `loopback` (only the public host itself can connect), `all` (everyone can), or one address of the public host.",
    ),
  // ufw adds each one separately, and all of them must fit into the minute of the trial.
  sources: list(network, "networks")
    .max(30, must("a list of 30 networks at most"))
    .optional()
    .describe(
      "The networks that may reach the port, 30 at most. The public host's firewalld or ufw enforces this; if neither is active, `pulumi up` fails and says so. Absent: everyone that `listen` allows.",
    ),
  protocol: z
    .enum(["ssh", "tcp"], must("'ssh' or 'tcp'"))
    .optional()
    .describe(
      "`ssh` if the target is an SSH server, whose banner must then come back at the end of `pulumi up`. Absent: `ssh` if the target's port is 22, otherwise `tcp`.",
    ),
  probe: z
    .enum(probes, must("'none', 'listener' or 'banner'"))
    .default("listener")
    .describe(
      "What the checks on both hosts look at: `listener` (the tunnel listens on the public host; the target is never connected to), `banner` (also that the target's SSH banner comes back, with a connection to the target in each check), or `none`.",
    ),
}).superRefine(({ listen, sources, target, protocol, probe }, found) => {
  if (probe === "banner" && (protocol ?? (parseTarget(target)?.port === 22 ? "ssh" : "tcp")) !== "ssh")
    found.addIssue({ code: "custom", path: ["probe"], message: noBanner });
  const mistake = sources && sourcesMistake(listen, sources);
  if (mistake !== undefined) found.addIssue({ code: "custom", path: ["sources"], message: mistake });
});

const keysWord = (nearest: string) =>
  z
    .string(must("text of at least one character"))
    .regex(/^[^\0]+$/, must("text of at least one character, without NUL"))
    .optional()
    .describe(
      `Any word, for example a date. Change it to any new word to replace ${nearest}: the new key is used and tried before the old one is removed; see [key-rotation.md](key-rotation.md).`,
    );

const proxyUrl = must(proxyUrlWords);
const proxyUser = must(proxyUserWords);
const proxyPassword = must(proxyPasswordWords);

const proxy = settings({
  url: z
    .string(proxyUrl)
    .refine((text) => parseProxyUrl(text) !== undefined, proxyUrl)
    .describe(
      "`http://host:port` for an HTTP proxy that allows CONNECT to the public host's `sshPort`, `socks5://host:port` for a SOCKS5 proxy.",
    ),
  user: z
    .string(proxyUser)
    .refine(isProxyUser, proxyUser)
    .optional()
    .describe("The user to log in to the proxy as. Absent: no login."),
  password: z
    .string(proxyPassword)
    .refine(isProxyPassword, proxyPassword)
    .optional()
    .describe("The password of that user. Set it as a secret."),
}).superRefine((args, found) => {
  const mistake = proxyLoginMistake(args);
  if (mistake !== undefined) found.addIssue({ code: "custom", message: mistake });
});

const proxyJump = settings({
  address: address.describe("Name or address at which the internal host reaches it."),
  port: port.default(22).describe("The port of its sshd."),
  user: account.describe(
    "The account there. Its authorized_keys must have the tunnel's key; `pulumi up` prints the line to add if it is refused.",
  ),
  hostKey: text("a host key, 'ssh-ed25519 AAAA…'", /^[a-z][a-z0-9@.-]* [A-Za-z0-9+/]+={0,3}$/).describe(
    "Its public host key, as in /etc/ssh/ssh_host_ed25519_key.pub.",
  ),
});

const loginBack = settings({
  from: account.describe("The account on the public host that may log in to the internal host."),
  to: account.describe("The account on the internal host that it logs in to."),
  alias: text("a name of a-z, 0-9, '.', '_' and '-'", namePatterns.alias)
    .optional()
    .describe("The name to type after `ssh`. Absent: the internal host's name."),
  via: z
    .string(must("the name of a forward"))
    .optional()
    .describe(
      "The forward to go through. Absent: the first one to an SSH port of the internal host itself, by its loopback or its `address`; required if there is none.",
    ),
  keys: keysWord("the key of this login. Absent: the word of the tunnel"),
});

const internalHost = settings({
  address: address.describe(
    "The name or address at which Pulumi reaches it. With `admin.ssh`, it may be left out: then it is the HostName in ssh_config.",
  ),
  admin: insideAdmin.prefault({}).describe("How Pulumi reaches it."),
  skip,
  gone: gone(
    "removes its tunnels and their keys from the public hosts, so nobody can use a key that was on it",
  ),
  enabled: enabled(
    "Whether its tunnels may run. `false` stops them and refuses their keys at the public host, but removes nothing: `true` brings them back as they were.",
  ),
  publicHost: z
    .string(must("the name of a public host"))
    .optional()
    .describe(
      "The public host that its only tunnel ends at. Required if there is more than one, unless `publicHosts` or `tunnels` is set.",
    ),
  publicHosts: list(z.string(must("the name of a public host")), "public hosts")
    .optional()
    .describe(
      "Several public hosts, for a tunnel to each, with the same forwards and logins. A tunnel of these is called `<internal host>-<public host>`.",
    ),
  account: account
    .optional()
    .describe(
      "An existing account that runs the tunnel, with the key in its ~/.ssh. Absent: a new account, `tunnel-<name>`.",
    ),
  forwards: records(forward, namePatterns.forward, "forwards")
    .optional()
    .describe("The listeners on the public host, by name. Required, unless each of `tunnels` has its own."),
  logins: z
    .array(loginBack, must("a list of logins"))
    .min(
      1,
      must(
        "a list with at least one login; leave it out for none, or set it to null if the defaults have some",
      ),
    )
    .optional()
    .describe("Logins by key from the public host back to the internal host."),
  keys: keysWord("the keys of this tunnel and of its logins. Absent: the word of the stack"),
  keepAlive: settings({
    preset: z
      .enum(keepAlivePresetNames, must("'fast' or 'conservative'"))
      .default("fast")
      .describe(
        "The defaults for the settings below: `fast`, or `conservative` for links on which every byte costs money.",
      ),
    connectTimeoutSec: fromPreset(
      seconds(1),
      "connectTimeoutSec",
      "Seconds to wait for a connection to the public host (ConnectTimeout).",
    ),
    serverAliveIntervalSec: fromPreset(
      seconds(1),
      "serverAliveIntervalSec",
      "Seconds without data before ssh sends a keep-alive (ServerAliveInterval).",
    ),
    serverAliveCountMax: fromPreset(
      count,
      "serverAliveCountMax",
      "Unanswered keep-alives before ssh gives up, after interval × (count + 1) seconds (ServerAliveCountMax).",
    ),
    restartSec: fromPreset(
      z
        .number(must(restartTime))
        .min(0.1, must(restartTime))
        .max(86400, must(restartTime))
        .multipleOf(0.1, must(restartTime)),
      "restartSec",
      "Seconds before systemd restarts a tunnel that has ended (RestartSec).",
    ),
    restartMaxDelaySec: fromPreset(
      seconds(1),
      "restartMaxDelaySec",
      "The longest pause between two attempts. The pause is a hundredth of the time that the tunnel has been down, but at least 0.3 s.",
    ),
  })
    .prefault({})
    .describe("How fast a dead tunnel is detected and restarted."),
  proxy: proxy
    .optional()
    .describe("A proxy through which the internal host reaches the public host. Absent: none."),
  proxyJump: proxyJump
    .optional()
    .describe(
      "A jump host through which the internal host reaches the public host, after the proxy if there is one. Absent: none.",
    ),
  watchdogIntervalSec: seconds(5).default(15).describe("Seconds between two checks on the internal host."),
  healthIntervalSec: seconds(5).default(30).describe("Seconds between two checks on the public host."),
  textfileDirectory,
  toolsDirectory,
  namespaces,
  timeoutSec: seconds(5).default(30).describe("How many seconds `pulumi up` waits for the tunnel to work."),
});

const likeTheHosts = "Absent: as for the internal host.";

/** One entry of `tunnels`. */
const tunnel = settings({
  publicHost: z
    .string(must("the name of a public host"))
    .optional()
    .describe("The public host that the tunnel ends at. Required if there is more than one."),
  enabled: internalHost.shape.enabled.unwrap().optional().describe(likeTheHosts),
  account: internalHost.shape.account.describe(
    "An existing account that runs the tunnel. Absent: as for the internal host.",
  ),
  forwards: internalHost.shape.forwards.describe(likeTheHosts),
  logins: internalHost.shape.logins.describe(likeTheHosts),
  keys: internalHost.shape.keys.describe(likeTheHosts),
  keepAlive: internalHost.shape.keepAlive.unwrap().optional().describe(likeTheHosts),
  proxy: internalHost.shape.proxy.describe(likeTheHosts),
  proxyJump: internalHost.shape.proxyJump.describe(likeTheHosts),
  watchdogIntervalSec: internalHost.shape.watchdogIntervalSec.unwrap().optional().describe(likeTheHosts),
  healthIntervalSec: internalHost.shape.healthIntervalSec.unwrap().optional().describe(likeTheHosts),
  timeoutSec: internalHost.shape.timeoutSec.unwrap().optional().describe(likeTheHosts),
});

/** One entry of `internalHosts`. */
export const internalHostSchema = internalHost.extend({
  tunnels: records(tunnel, namePatterns.tunnel, "tunnels")
    .optional()
    .describe(
      "Several tunnels by name, instead of `publicHost` or `publicHosts`: if they differ, or for names of your own.",
    ),
});

/** The same settings, none of which is required. Rules between several of them hold for the merged settings. */
function partial(schema: z.ZodType): z.ZodType {
  const described = (result: z.ZodType) =>
    schema.description === undefined ? result : result.describe(schema.description);
  if (schema instanceof z.ZodObject) {
    const shape = Object.entries<z.ZodType>(schema.shape);
    return described(
      settings(Object.fromEntries(shape.map(([key, each]) => [key, partial(each).optional()]))),
    );
  }
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return described(partial(schema.unwrap() as z.ZodType));
  }
  if (schema instanceof z.ZodRecord) {
    return described(
      z.record(schema.keyType as z.ZodString, partial(schema.valueType as z.ZodType), {
        error: (issue) => schema.def.error?.(issue as never),
      }),
    );
  }
  return schema;
}

const defaultsSchema = settings({
  publicHost: partial(publicHostSchema)
    .optional()
    .describe("Settings for every public host that does not have them itself."),
  internalHost: partial(internalHostSchema)
    .optional()
    .describe(
      "Settings for every internal host that does not have them itself. A list, such as `logins`, is replaced as a whole; `admin`, `keepAlive` and `forwards` are merged.",
    ),
});

/** The settings, each under its own key in the stack's configuration. */
export const settingsSchema = settings({
  defaults: defaultsSchema
    .optional()
    .describe(
      "Settings that several hosts have in common. A host that sets one of them to `null`, or a single one of its forwards, does not have it. A password here is sent to every host that inherits it.",
    ),
  publicHosts: records(publicHostSchema, hostName, "public hosts").describe(
    "The hosts that tunnels end at, by name.",
  ),
  internalHosts: mapOf(internalHostSchema, namePatterns.tunnel, "internal hosts")
    .default({})
    .describe(
      "The hosts that tunnels start from, by name. The name is also that of its only tunnel, and has at most 24 characters. Absent: none, for a stack that only manages public hosts.",
    ),
  keys: keysWord("the keys of all tunnels and logins. Absent: keys are made once and kept"),
  drift: z
    .boolean(must("true or false"))
    .default(false)
    .describe(
      "Whether each `pulumi preview` and `pulumi up` looks on the hosts for what somebody has changed there, with one login to each. What differs is a warning, and what manages it an update. See [drift](drift.md).",
    ),
  revision: z
    .string(must("text"))
    .regex(/^[^\0]*$/, must("text without NUL"))
    .default("")
    .describe(
      "Any text. Change it to any new value to have every script check its host again and repair drift.",
    ),
});

/** The checked settings, with all defaults filled in. */
export type Settings = Omit<z.output<typeof settingsSchema>, "defaults">;
