import * as pulumi from "@pulumi/pulumi";
import { driftOf } from "./remote/drift.ts";
import type { Host } from "./remote/host.ts";
import type { HostLook } from "./remote/look.ts";
import { HostFacts } from "./parts/hostFacts/hostFacts.ts";
import { HostTools } from "./parts/hostTools/hostTools.ts";
import type { ReverseTunnel } from "./reverseTunnel.ts";
import { assertValid } from "./render/checks.ts";

/** Arguments of {@link InternalHost}. */
export interface InternalHostArgs {
  /** The admin connection. */
  connection: Host["connection"];
  /**
   * The public host at which the tunnel of the connection ends. The tunnel must exist already; its changes are on
   * trial.
   *
   * @see throughTunnel
   * @default none, the connection is direct
   */
  throughTunnel?: string;
  /** @see Host.tunnel */
  tunnel?: string | undefined;
  /** @see Host.ways */
  ways?: Host["ways"];
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
}

/**
 * What an internal host needs once: a check of the host, which also reads its host keys, and its tools.
 *
 * Its name is part of comments and messages: `a-z`, `0-9` and `-`, at most 63 characters. Other names throw.
 */
export class InternalHost extends pulumi.ComponentResource {
  /** The host, for scripts. */
  public readonly host: Host;
  /** Its public host keys. */
  public readonly hostKeys: pulumi.Output<string[]>;
  /** @see HostFacts.keyTypes */
  public readonly keyTypes: pulumi.Output<string>;
  /** Its tunnels, so far. */
  public readonly tunnels: ReverseTunnel[] = [];
  /** The one of several that its connection goes through. */
  public way: ReverseTunnel | undefined;

  constructor(name: string, args: InternalHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:InternalHost", name, {}, opts);
    assertValid("host", name);
    const { look, ...others } = args;
    const host = { name, ...others };
    const facts = new HostFacts(`${name}-facts`, { host, needsServer: false }, { parent: this });
    const drift = look && driftOf(`${name}-drift`, look, `${name}-tools-script`, this);
    const known = { ...host, drift, keys: look?.keys, rootShell: facts.rootShell, after: [facts] };
    const tools = new HostTools(`${name}-tools`, { host: known }, { parent: this });
    this.host = { ...known, after: [facts, tools] };
    this.hostKeys = facts.hostKeys;
    this.keyTypes = facts.keyTypes;
    this.registerOutputs({ hostKeys: this.hostKeys });
  }
}
