import { createHash } from "node:crypto";
import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { RemoteScriptArgs } from "./remoteScript.ts";
import { Program, remoteScript } from "./remoteScript.ts";

/**
 * A component that is one thing on one host, which one script applies and removes.
 *
 * Its type is `ssh-reverse-tunnel:index:<Class>`, its script's name `<name>-script`. `dependsOn` holds for the script as
 * well, which Pulumi by itself does not pass on.
 */
export abstract class RemoteComponent extends pulumi.ComponentResource {
  /** Another text whenever the script or what it was given is another; for what must act again then. */
  public fingerprint!: pulumi.Output<string>;
  private readonly dependsOn: pulumi.Input<pulumi.Resource>[];

  protected constructor(type: string, name: string, opts: pulumi.ComponentResourceOptions | undefined) {
    super(`ssh-reverse-tunnel:index:${type}`, name, {}, opts);
    this.dependsOn = [opts?.dependsOn ?? []].flat() as pulumi.Input<pulumi.Resource>[];
  }

  /** Runs the component's script. */
  protected run(name: string, args: RemoteScriptArgs, after: pulumi.Resource[] = []): command.remote.Command {
    const script = remoteScript(name, args, {
      parent: this,
      dependsOn: [...(args.host.after ?? []), ...this.dependsOn, ...after],
    });
    // Another revision is a reason to look again, and another id one to take over: none to restart what is as it should be.
    this.fingerprint = script.stdin.apply((text = "") =>
      fingerprintOf(["STACK_ID", "REVISION"].reduce(withoutValue, text)),
    );
    return script;
  }

  /**
   * Runs a script twice, whose change is on trial on the host (scripts/trial.sh): once to change, and once more over a new
   * connection. That login is the proof that the host can still be reached; without it the host takes the change back.
   */
  protected runOnTrial(
    name: string,
    args: RemoteScriptArgs,
    trial: {
      /** What is on trial, for the name of the rollback's unit on the host. */
      name: string;
      /** Until the host takes the change back. @default 60 */
      seconds?: pulumi.Input<number>;
      /** @see RemoteScriptArgs.ifRefused */
      ifRefused?: string;
    },
  ): void {
    const values = {
      ...args.values,
      TRIAL: trial.name,
      TRIAL_SECONDS: pulumi.output(trial.seconds ?? 60).apply(String),
      ROLL_BACK: new Program("rollBack"),
    };
    const both = { ...args, record: name };
    const change = this.run(`${name}-change`, { ...both, values: { ...values, CONFIRM: "no" } });
    this.run(
      `${name}-confirm`,
      {
        ...both,
        values: { ...values, CONFIRM: "yes" },
        removes: false,
        ...(trial.ifRefused ? { ifRefused: trial.ifRefused } : {}),
      },
      [change],
    );
  }
}

/** A short hash, the same for the same text. */
export function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** A script's text without one line of its header, which is several where the value is. */
function withoutValue(text: string, name: string): string {
  return text.replace(new RegExp(`^${name}='(?:[^']|'\\\\'')*'\\n`, "m"), "");
}
