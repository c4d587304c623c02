import type * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { rootShells } from "./rootShell.ts";

/** Arguments of {@link HostFacts}. */
export interface HostFactsArgs {
  /** The host to look at. */
  host: Host;
  /** Whether tunnels end here: then sshd must know permitlisten (OpenSSH 7.8). */
  needsServer: boolean;
}

/** A line with a key. */
const HOST_KEY = /^(ssh|ecdsa|sk)-\S+ \S+$/;

/** What the line with the way to be root begins with. */
const ROOT_SHELL = "root-shell ";

/**
 * Looks, first of all, whether a host can be managed (systemd, sudo, OpenSSH), and reads its public host keys at the
 * source, over the admin connection: the other side then need not trust whatever answers first.
 *
 * Errors name the host and what to do: no systemd, sudo asks for a password, OpenSSH missing or too old.
 */
export class HostFacts extends RemoteComponent {
  /** The public host keys, each `type base64`. */
  public readonly hostKeys: pulumi.Output<string[]>;
  /** @see Host.rootShell */
  public readonly rootShell: pulumi.Output<string>;

  constructor(name: string, args: HostFactsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("HostFacts", name, opts);
    const script = this.run(`${name}-script`, {
      host: args.host,
      script: "hostFacts",
      what: "the host can be managed",
      values: { NEEDS_SERVER: args.needsServer ? "yes" : "no", ROOT_SHELLS: rootShells.join("\n") },
      first: true,
      removes: false,
    });
    const lines = script.stdout.apply((text) => text.split("\n"));
    // Among them may be what the admin's login shell greets with.
    this.hostKeys = lines.apply((all) => all.filter((line) => HOST_KEY.test(line)));
    this.rootShell = lines.apply(
      (all) => all.find((line) => line.startsWith(ROOT_SHELL))?.slice(ROOT_SHELL.length) ?? rootShells[0],
    );
    this.registerOutputs({ hostKeys: this.hostKeys, rootShell: this.rootShell });
  }
}
