import * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "./settings/assertValidInput.ts";
import type { Bounds } from "./settings/bounds.ts";
import { assertValidBounds } from "./settings/bounds.ts";
import { inputError } from "./settings/inputError.ts";
import { FirewallPorts } from "./parts/firewallPorts/firewallPorts.ts";
import { driftOf } from "./remote/drift.ts";
import type { Host } from "./remote/host.ts";
import { toolsDirectoryOf } from "./remote/host.ts";
import type { HostLook } from "./remote/look.ts";
import type { ManagedHost, SharedHost } from "./settings/managedBy.ts";
import { assertValidManaged } from "./settings/managedBy.ts";
import { HostFacts } from "./parts/hostFacts/hostFacts.ts";
import { HostTools } from "./parts/hostTools/hostTools.ts";
import type { NotifySettings } from "./parts/notify/notify.ts";
import { Notify } from "./parts/notify/notify.ts";
import type { PortRange } from "./settings/forward.ts";
import type { SshServerArgs } from "./parts/sshServer/sshServer.ts";
import { assertValid } from "./render/checks.ts";
import { SshServer } from "./parts/sshServer/sshServer.ts";

/** Arguments of {@link PublicHost}. */
export interface PublicHostArgs extends Omit<SshServerArgs, "host" | "addPort">, Bounds {
  /** The admin connection. */
  connection: Host["connection"];
  /** The name or address at which internal hosts reach it. @default the address of the admin connection */
  address?: pulumi.Input<string>;
  /** The port of its sshd, as internal hosts reach it. @default 22 */
  sshPort?: pulumi.Input<number>;
  /**
   * Whether its sshd also listens on `sshPort`, in addition to where it listens already; firewalld or ufw then opens it to
   * everyone. `sshPort` must be a number.
   *
   * @default false
   */
  listenOnSshPort?: boolean;
  /** Range of the remote ports for `auto`. @default { first: 20000, last: 29999 } */
  portRange?: PortRange;
  /** The folder that node_exporter on this host reads text files from. @default none */
  textfileDirectory?: string | undefined;
  /** Who is told when a tunnel goes down here, and when it is back. @default nobody */
  notify?: NotifySettings | undefined;
  /** @see Host.toolsDirectory */
  toolsDirectory?: string | undefined;
  /** @see Host.namespaces */
  namespaces?: boolean | undefined;
  /** @see Host.revision */
  revision?: pulumi.Input<string>;
  /** @see Host.stackId */
  stackId?: pulumi.Input<string>;
  /** @see Host.trialSec */
  trialSec?: number | undefined;
  /** @see Host.report */
  report?: Host["report"];
  /** @see Host.gone */
  gone?: boolean | undefined;
  /** What a look for drift has found there: `lookForDrift`. @default none: nobody looks for drift */
  look?: HostLook | undefined;
  /**
   * What another stack that manages the host says about it: its name, and the host's entry of its output `publicHosts`.
   * This stack then leaves sshd to that one.
   *
   * @default none: this stack manages it
   */
  managed?: ManagedHost | undefined;
}

/**
 * What a public host needs once, for all its tunnels: a check of the host, its tools, and its sshd.
 *
 * Its name is an ssh alias on the internal hosts: `a-z`, `0-9` and `-`, at most 63 characters. Other names throw.
 */
export class PublicHost extends pulumi.ComponentResource {
  /** The host, for scripts. */
  public host: Host;
  /** Where internal hosts reach it. */
  public readonly address: pulumi.Input<string>;
  /** The port of its sshd. */
  public readonly sshPort: pulumi.Input<number>;
  /** Its public host keys, read on the host. */
  public readonly hostKeys: pulumi.Output<string[]>;
  /** @see HostFacts.keyTypes */
  public readonly keyTypes: pulumi.Output<string>;
  /** Its sshd, unless another stack manages it. */
  public server: SshServer | undefined;
  /** @see SshServer.evictStale */
  public readonly evictStale: string;
  /** The stack that manages it, if it is not this one. */
  public readonly managedBy: string | undefined;
  /** What other stacks have to know that only use it. */
  public readonly shared: pulumi.Output<SharedHost> | undefined;
  /** @see PublicHostArgs.portRange */
  public readonly portRange: PortRange | undefined;
  /** The limits for the forwards of its tunnels. */
  public readonly bounds: Bounds;
  /** @see PublicHostArgs.installPackages */
  public readonly installPackages: boolean;
  /** @see PublicHostArgs.textfileDirectory */
  public readonly textfileDirectory: string | undefined;

  constructor(name: string, args: PublicHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:PublicHost", name, {}, opts);
    const { connection, toolsDirectory, namespaces, revision, stackId, trialSec, ...given } = args;
    const { report, gone, look, managed: foreign, ...rest } = given;
    const { address, sshPort, portRange, permitListen, permitOpen, ...others } = rest;
    const { listenOnSshPort, textfileDirectory, notify, ...server } = others;
    const addPort = listenOnSshPort === true ? numberOf(name, sshPort) : undefined;
    assertValid("host", name);
    const by = assertValidManaged(name, foreign);
    const managed = { connection, toolsDirectory, namespaces, revision, stackId, trialSec, report, gone };
    const host = { name, managedBy: by?.by, ...managed };
    // A way to become root is that of one account.
    const { user = "root" } = connection;
    const isKnown = by !== undefined && (user === "root" || user === by.admin.user);
    const check = isKnown
      ? undefined
      : new HostFacts(`${name}-facts`, { host, needsServer: true }, { parent: this });
    const facts = check ?? by!;
    const drift = look && driftOf(`${name}-drift`, look, `${name}-tools-script`, this);
    const first = check ? [check] : [];
    const known = { ...host, drift, keys: look?.keys, rootShell: facts.rootShell, after: first };
    // Without the check, this is the first login.
    const login = check ? connection : { dialErrorLimit: 2, ...connection };
    const tools = new HostTools(
      `${name}-tools`,
      { host: { ...known, connection: login }, notifies: notify !== undefined },
      { parent: this },
    );
    this.host = { ...known, after: [...first, tools] };
    this.address = assertValidInput("plain", address ?? connection.host);
    this.sshPort = sshPort ?? 22;
    this.portRange = portRange;
    this.bounds = assertValidBounds({ permitListen, permitOpen });
    this.installPackages = server.installPackages ?? true;
    this.textfileDirectory = textfileDirectory;
    this.hostKeys = pulumi.output(facts.hostKeys);
    this.keyTypes = pulumi.output(facts.keyTypes);
    this.managedBy = by?.by;
    this.evictStale = by?.evictStale ?? this.manage(server, addPort);
    // On a host that is gone, whether or not there is one (see manage). Nothing waits for it.
    if (notify || gone) {
      const told = { host: this.host, notify: notify ?? { command: "true", account: "nobody" } };
      new Notify(`${name}-notify`, told, { parent: this });
    }
    this.shared =
      by || gone
        ? undefined
        : pulumi.output({
            ...{
              address: this.address,
              sshPort: this.sshPort,
              admin: { address: connection.host, port: connection.port ?? 22, user },
            },
            ...{ hostKeys: this.hostKeys, keyTypes: this.keyTypes, rootShell: facts.rootShell },
            ...{ evictStale: this.evictStale, toolsDirectory: toolsDirectoryOf(host) },
            ...{ namespaces: namespaces ?? true, installPackages: this.installPackages },
            ...(portRange && { portRange }),
            ...(textfileDirectory && { textfileDirectory }),
          });
    this.registerOutputs(this.shared ?? {});
  }

  /** What the tunnels of all stacks share: its sshd, and the port of that in the firewall. Returns {@link evictStale}. */
  private manage(args: Omit<SshServerArgs, "host" | "addPort">, addPort: number | undefined): string {
    const { name, gone, after = [] } = this.host;
    const server = new SshServer(`${name}-server`, { host: this.host, ...args, addPort }, { parent: this });
    this.server = server;
    // Before everything else on the host: a change to sshd must be confirmed in time, however many tunnels there are.
    this.host = { ...this.host, after: [...after, server] };
    // On a host that is gone, whether or not there is one, since what is not declared is deleted.
    if (addPort !== undefined || gone) {
      const ports = addPort === undefined ? [] : [{ port: addPort }];
      const opened = { host: this.host, ports, serves: addPort };
      const firewall = new FirewallPorts(`${name}-ssh-port`, opened, { parent: this });
      this.host = { ...this.host, after: [...after, server, firewall] };
    }
    return server.evictStale;
  }
}

/** The port that sshd is to listen on, which decides what is declared. */
function numberOf(name: string, port: pulumi.Input<number> = 22): number {
  if (typeof port !== "number")
    throw inputError(`${name}: sshPort must be a number if listenOnSshPort is set, and not an Output`);
  return port;
}
