import * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import { RemoteComponent } from "../../remote/remoteComponent.ts";
import { ownerId } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { assertValid } from "../../render/checks.ts";
import { renderSshdDropIn, tunnelAccounts, tunnelGroup } from "../../render/sshdDropIn.ts";
import { selinuxPorts } from "../selinuxPorts/selinuxPorts.ts";

/** Arguments of {@link SshServer}. */
export interface SshServerArgs {
  /** The public host. */
  host: Host;
  /**
   * Only these accounts, and the tunnels' own, may log in. Must include the admin, or the change is rolled back.
   *
   * @default the host's current setting
   * @example ["root", "alice"]
   */
  allowUsers?: string[];
  /**
   * `ClientAliveInterval` for tunnel accounts, in seconds. Ends sessions that no new connection has replaced. @default
   * 15
   */
  clientAliveIntervalSec?: number;
  /**
   * A port that sshd listens on in addition to where it listens already. `Port`, or `ListenAddress` if the host's own
   * have ports.
   *
   * @default none
   */
  addPort?: number | undefined;
  /** Whether to install the package with semanage if SELinux is enabled and it is missing. @default true */
  installPackages?: boolean;
  /** `ClientAliveCountMax` for tunnel accounts. @default 3 */
  clientAliveCountMax?: number;
}

/**
 * sshd on a public host, configured through a drop-in for the tunnels' accounts. A change works like `commit
 * confirmed`: it is checked with `sshd -t` and `sshd -T -C`, then sshd reloads with a rollback armed on the host, and a
 * second script confirms it. The new login of that script proves that the admin can still log in.
 */
export class SshServer extends RemoteComponent {
  /** Path of the only program that tunnel keys may run. */
  public readonly evictStale: string;

  constructor(name: string, args: SshServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("SshServer", name, opts);
    const { installPackages } = args;
    const addPort = args.addPort === undefined ? undefined : String(assertValid("number", args.addPort));
    this.evictStale = `${toolsDirectoryOf(args.host)}/${ownerId()}/bin/evict-stale`;
    const script = {
      host: args.host,
      what: "sshd's drop-in",
      // The removal also checks which accounts sshd would lock out.
      values: {
        ADMIN: pulumi.output(args.host.connection.user).apply((user) => user ?? "root"),
        SERVES: "yes",
      },
      parts: [
        ...(addPort === undefined
          ? []
          : [
              selinuxPorts({
                ports: [addPort],
                ...(installPackages === undefined ? {} : { installPackages }),
              }),
            ]),
        {
          script: "sshServer",
          values: {
            DROP_IN: renderSshdDropIn({
              ...args,
              owner: ownerId(),
              clientAliveIntervalSec: args.clientAliveIntervalSec ?? 15,
              clientAliveCountMax: args.clientAliveCountMax ?? 3,
            }),
            ACCOUNTS: tunnelAccounts,
            GROUP: tunnelGroup,
            ...(addPort === undefined ? {} : { ADD_PORT: addPort }),
            EVICT_STALE: this.evictStale,
            EVICT_STALE_TEXT: new Program("evictStale"),
          },
        },
      ],
    };
    this.runOnTrial(name, script, "sshd", "sshd");
    this.registerOutputs({ evictStale: this.evictStale });
  }
}
