import * as pulumi from "@pulumi/pulumi";
import { validateOutput } from "../../remote/validateOutput.ts";
import type { Host } from "../../remote/host.ts";
import { knownOr } from "../../remote/knownOr.ts";
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

/** @see HostFacts.keyTypes */
const ALL_KEY_TYPES = "ed25519 ecdsa";

/** The line of a host whose sshd accepts no ed25519 keys. */
const KEY_TYPES = "key-types ecdsa";

/**
 * Checks first whether a host can be managed (systemd, sudo, OpenSSH). Reads its public host keys on the host itself,
 * over the admin connection, so that the other host need not trust whatever answers first.
 *
 * Errors name the host and what to do: no systemd, sudo asks for a password, OpenSSH missing or too old.
 */
export class HostFacts extends RemoteComponent {
  /** The public host keys, each `type base64`. */
  public readonly hostKeys: pulumi.Output<string[]>;
  /** The types of keys that its sshd accepts from users, the best first: "ed25519 ecdsa", or "ecdsa" in FIPS mode. */
  public readonly keyTypes: pulumi.Output<string>;
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
    const { name: host, gone } = args.host;
    const facts = script.stdout.apply((text) => (gone ? noFacts : factsFrom(host, text.split("\n"))));
    this.hostKeys = facts.apply(({ hostKeys }) => hostKeys);
    this.rootShell = facts.apply(({ rootShell }) => rootShell);
    // A preview should show what changes in the stages that make keys.
    this.keyTypes = knownOr(
      pulumi.output(ALL_KEY_TYPES),
      facts.apply(({ keyTypes }) => keyTypes),
    );
    const { hostKeys, keyTypes, rootShell } = this;
    this.registerOutputs({ hostKeys, keyTypes, rootShell });
  }
}

interface Facts {
  rootShell: string;
  keyTypes: string;
  hostKeys: string[];
}

const noFacts: Facts = { rootShell: rootShells[0], keyTypes: ALL_KEY_TYPES, hostKeys: [] };

/**
 * The way to become root, if the host printed one, and its keys. A greeting of the admin's login shell may come before
 * them.
 */
function factsFrom(host: string, printed: string[]): Facts {
  const lines = printed.filter((line) => line !== KEY_TYPES);
  const start = lines.findIndex((line) => line.startsWith(ROOT_SHELL) || HOST_KEY.test(line));
  const [first = "", ...others] = lines.slice(Math.max(start, 0));
  const way = first.startsWith(ROOT_SHELL) ? first.slice(ROOT_SHELL.length) : undefined;
  const known = way === undefined || (rootShells as readonly string[]).includes(way);
  validateOutput(host, first, known, "one of the offered ways to become root");
  // An answer without keys is invalid.
  const keys = way === undefined ? [first, ...others] : [others[0] ?? "", ...others.slice(1)];
  return {
    rootShell: way ?? rootShells[0],
    keyTypes: lines.length < printed.length ? "ecdsa" : ALL_KEY_TYPES,
    hostKeys: keys.map((key) => validateOutput(host, key, HOST_KEY.test(key), "a public host key")),
  };
}
