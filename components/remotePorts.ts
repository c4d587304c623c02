import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { answerOf } from "./answer.ts";
import { checkedInput } from "./checkedInput.ts";
import type { Forward } from "./forward.ts";
import { bindAddress, checkForward } from "./forward.ts";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { checked } from "./render/checks.ts";
import { inputError } from "./inputError.ts";

/** Arguments of {@link RemotePorts}. */
export interface RemotePortsArgs {
  /** The public host. */
  host: Host;
  /** The tunnel's account there, whose own listeners are no obstacle. */
  account: pulumi.Input<string>;
  /** The forwards whose ports are looked at, or chosen. */
  forwards: Forward[];
  /** Range of the ports for `auto`. @default { first: 20000, last: 29999 } */
  portRange?: { first: number; last: number };
}

/**
 * The ports that a tunnel listens on: each free, or held by this tunnel already, and promised to no other tunnel. For
 * `auto`, `@pulumi/random` says where in the range to begin, so that stacks that know nothing of each other seldom meet;
 * the host takes the first free port from there and keeps it.
 *
 * Fails with the name and pid of the program that holds a port.
 */
export class RemotePorts extends RemoteComponent {
  private readonly chosen: pulumi.Output<Record<string, number>>;

  constructor(name: string, args: RemotePortsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("RemotePorts", name, opts);
    const { first, last } = args.portRange ?? { first: 20000, last: 29999 };
    [first, last].forEach((port) => checked("number", port));
    if (Number(first) > Number(last)) {
      throw inputError(
        `the portRange of ${args.host.name} must not end at ${last}, before its first port ${first}`,
      );
    }
    const lines = args.forwards.map(checkForward).map((forward) => {
      const what = `${forward.name} ${bindAddress(forward)}`;
      if (forward.remotePort !== "auto") {
        return `${what} ${forward.remotePort}`;
      }
      const start = new random.RandomInteger(
        `${name}-${forward.name}`,
        { min: first, max: last },
        { parent: this },
      );
      return pulumi.interpolate`${what} auto ${start.result} ${first} ${last}`;
    });
    this.chosen = this.run(`${name}-script`, {
      host: args.host,
      what: "the ports of the forwards",
      parts: [
        {
          script: "remotePorts",
          values: {
            ACCOUNT: checkedInput("account", args.account),
            FORWARDS: pulumi.all(lines).apply((all) => all.join("\n")),
          },
        },
      ],
    }).stdout.apply((text) => portsFrom(args, first, last, text.split("\n").slice(-args.forwards.length)));
    this.registerOutputs({});
  }

  /** The port of a forward: known at once where the settings name it. */
  public portOf(forward: Forward): pulumi.Output<number> {
    return forward.remotePort === "auto"
      ? this.chosen.apply((ports) => ports[forward.name] ?? 0)
      : pulumi.output(forward.remotePort);
  }
}

/**
 * The ports that the host answered: one for each forward, in their order, and each one that it may have. Before them may
 * be what the admin's login shell greets with.
 */
function portsFrom(
  { host, forwards }: RemotePortsArgs,
  first: number,
  last: number,
  lines: string[],
): Record<string, number> {
  const ports = forwards.map(({ name, remotePort }, index): [string, number] => {
    const line = lines[index] ?? "";
    const port = Number(line.slice(name.length + 1));
    const mayBe =
      remotePort === "auto" ? Number.isInteger(port) && port >= first && port <= last : port === remotePort;
    const fits = line === `${name}=${port}` && mayBe && lines.length === forwards.length;
    answerOf(host.name, line, fits, `the port of the forward '${name}'`);
    return [name, port];
  });
  return Object.fromEntries(ports);
}
