import type * as pulumi from "@pulumi/pulumi";
import { validateOutput } from "../../remote/validateOutput.ts";
import type { Host } from "../../remote/host.ts";
import { RemoteComponent } from "../../remote/remoteComponent.ts";
import { rootShells } from "../../remote/rootShell.ts";

/** Arguments of {@link HostFacts}. */
export interface HostFactsArgs {
  /** The host to check. */
  host: Host;
  /** Whether tunnels end here. sshd must then support permitlisten (OpenSSH 7.8). */
  needsServer: boolean;
}

/** A line with a key. */
const HOST_KEY = /^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}$/;

/** The prefix of the line with the way to become root. */
const ROOT_SHELL = "root-shell ";

/**
 * Checks first whether a host can be managed (systemd, sudo, OpenSSH). Reads its public host keys on the host itself,
 * over the admin connection, so that the other host need not trust whatever answers first.
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
      what: "the host can be managed",
      parts: [
        {
          script: "hostFacts",
          values: { NEEDS_SERVER: args.needsServer ? "yes" : "no", ROOT_SHELLS: rootShells.join("\n") },
        },
      ],
      first: true,
      whole: true,
      removes: false,
    });
    const facts = script.stdout.apply((text) => factsFrom(args.host.name, text.split("\n")));
    this.hostKeys = facts.apply(({ hostKeys }) => hostKeys);
    this.rootShell = facts.apply(({ rootShell }) => rootShell);
    this.registerOutputs({ hostKeys: this.hostKeys, rootShell: this.rootShell });
  }
}

/**
 * The way to become root, if the host printed one, and its keys. A greeting of the admin's login shell may come before
 * them.
 */
function factsFrom(host: string, lines: string[]): { rootShell: string; hostKeys: string[] } {
  const start = lines.findIndex((line) => line.startsWith(ROOT_SHELL) || HOST_KEY.test(line));
  const [first = "", ...others] = lines.slice(Math.max(start, 0));
  const way = first.startsWith(ROOT_SHELL) ? first.slice(ROOT_SHELL.length) : undefined;
  const known = way === undefined || (rootShells as readonly string[]).includes(way);
  validateOutput(host, first, known, "one of the offered ways to become root");
  // An answer without keys is invalid.
  const keys = way === undefined ? [first, ...others] : [others[0] ?? "", ...others.slice(1)];
  return {
    rootShell: way ?? rootShells[0],
    hostKeys: keys.map((key) => validateOutput(host, key, HOST_KEY.test(key), "a public host key")),
  };
}
