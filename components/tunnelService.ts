import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { renderTunnelUnit } from "./render/systemdUnits.ts";
import { SystemdUnits } from "./systemdUnits.ts";

/** Arguments of {@link TunnelService}. */
export interface TunnelServiceArgs {
  /** The internal host. */
  host: Host;
  /** The tunnel's name. */
  tunnel: string;
  /** The account that ssh runs as. */
  account: pulumi.Input<string>;
  /** What is given to ssh as its destination: a Host entry of the account's configuration. */
  alias: string;
  /** What each `-R` is followed by. @example ["127.0.0.1:2222:127.0.0.1:22"] */
  remoteForwards: pulumi.Input<string>[];
  /** Seconds before systemd starts a tunnel again that ended. `RestartSec`. @default 1 */
  restartSec?: pulumi.Input<number>;
  /** Another text restarts the tunnel. */
  fingerprint: pulumi.Input<string>;
}

/**
 * `ssh -N -R …` as a systemd service: started at boot once the network is online, restarted for ever, without a start
 * limit. Before each start it ends its own stale session on the public host.
 */
export class TunnelService extends pulumi.ComponentResource {
  /** Name of the unit. */
  public readonly unit: string;
  /** Folder below /run with the control socket and the pid. */
  public readonly runtimeDirectory: string;
  /** Another text whenever the service is another. */
  public readonly fingerprint: pulumi.Output<string>;

  constructor(name: string, args: TunnelServiceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:TunnelService", name, {}, opts);
    const program = programPath(args.tunnel, "tunnel");
    this.runtimeDirectory = `ssh-tunnel-${args.tunnel}`;
    this.unit = `ssh-tunnel-${args.tunnel}.service`;
    const text = pulumi
      .all([args.account, args.fingerprint, args.restartSec ?? 1, pulumi.all(args.remoteForwards)])
      .apply(([account, fingerprint, restartSec, remoteForwards]) =>
        renderTunnelUnit({
          description: `Reverse SSH tunnel ${args.tunnel}`,
          account,
          runtimeDirectory: this.runtimeDirectory,
          command: [program, args.alias, ...remoteForwards.map((forward) => `-R ${forward}`)],
          restartSec,
          fingerprint,
          needsHome: account !== tunnelAccount(args.tunnel),
        }),
      );
    this.fingerprint = new SystemdUnits(
      `${name}-units`,
      {
        host: args.host,
        program: { source: "tunnel", path: program },
        units: { [this.unit]: text },
        start: this.unit,
      },
      { parent: this, dependsOn: opts?.dependsOn },
    ).fingerprint;
    this.registerOutputs({ unit: this.unit });
  }
}

/** The account that a tunnel has to itself, on both sides. */
export function tunnelAccount(tunnel: string): string {
  return `tunnel-${tunnel}`;
}

/**
 * Where a program of a tunnel is installed. A folder called `bin` below /usr has the SELinux type bin_t, from which
 * systemd starts programs; systemd may not start /usr/bin/ssh itself there (ssh_exec_t).
 */
export function programPath(tunnel: string, program: string): string {
  return `/usr/local/lib/ssh-tunnel-${tunnel}/bin/${program}`;
}
