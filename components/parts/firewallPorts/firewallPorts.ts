import { isIP } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { networkText, noNetworks } from "../../settings/network.ts";
import { fingerprintOf } from "../../remote/fingerprint.ts";
import { RemoteComponent } from "../../remote/remoteComponent.ts";
import type { Kept } from "../../remote/remoteScript.ts";
import { keptBy } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";
import { inputError } from "../../settings/inputError.ts";

/** A TCP port open to other machines. */
export interface OpenPort {
  port: pulumi.Input<number>;
  /** The address of the host at which it can be reached. @default every address */
  address?: string | undefined;
  /** The networks that may reach it. @default every network */
  sources?: string[] | undefined;
}

/** Arguments of {@link FirewallPorts}. */
export interface FirewallPortsArgs {
  /** The public host. */
  host: Host;
  /** The ports to open. */
  ports: OpenPort[];
  /** @see RemoteScriptArgs.keepsStale */
  keepsStale?: boolean;
  /** The one of the ports at which the tunnels of other stacks come in, which keep it open. @default none */
  serves?: number | undefined;
}

/**
 * Opens ports in firewalld (in its running and its permanent state, in each zone where such connections arrive) and in
 * ufw, whichever is active. On destroy, closes what it opened, but not what was open before.
 *
 * If neither is active, it does nothing and reports that, with what to add to, for example, an nftables ruleset that
 * refuses by default. It then fails if a port has `sources`, since nothing would enforce them; firewalld (0.7 and
 * later) and ufw (0.36) block all others, whatever other rules they have.
 *
 * On trial: the host closes the ports again by itself unless a new login shows that it can still be reached.
 */
export class FirewallPorts extends RemoteComponent {
  /** What it has kept, if `keepsStale` is set. */
  public readonly kept: Kept;

  constructor(name: string, args: FirewallPortsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("FirewallPorts", name, opts);
    const openings = args.ports.map(openingsOf);
    const { stdout } = this.runOnTrial(
      name,
      {
        host: args.host,
        what: "the firewall",
        keepsStale: args.keepsStale ?? false,
        ...(args.serves === undefined
          ? {}
          : { values: { SERVES: String(assertValid("number", args.serves)) } }),
        parts: [
          {
            script: "firewallPorts",
            // Forwards on 0.0.0.0 and :: may have the same port.
            values: { PORTS: pulumi.all(openings).apply((all) => [...new Set(all.flat())].join("\n")) },
          },
        ],
      },
      `firewall-${fingerprintOf(name)}`,
      "the firewall",
    );
    this.kept = keptBy(name, stdout);
    this.registerOutputs({});
  }
}

/**
 * "8080 to 192.0.2.1", where the address is optional. With sources, one line for each, ending in " from
 * 203.0.113.0/24", after a line that ends in " from others", which is refused.
 */
function openingsOf({ port, address, sources }: OpenPort): pulumi.Output<string[]> {
  if (address !== undefined && isIP(address) === 0) {
    throw inputError(`${JSON.stringify(address)} must be an IP address of the host`);
  }
  if (sources?.length === 0) {
    throw inputError(`sources ${noNetworks}`);
  }
  const to = address === undefined ? "" : ` to ${networkText(address)}`;
  const froms = sources ? [" from others", ...sources.map((source) => ` from ${networkText(source)}`)] : [""];
  return pulumi
    .output(port)
    .apply((number) => froms.map((from) => `${assertValid("number", number)}${to}${from}`));
}
