import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { fingerprintOf } from "./fingerprint.ts";
import type { Host } from "./host.ts";
import { defaultTrialSec, takenBack } from "./host.ts";
import type { RemoteScriptArgs, Values } from "./remoteScript.ts";
import { remoteScript } from "./remoteScript.ts";
import { Program } from "./scriptText.ts";
import { assertValid } from "../render/checks.ts";

/**
 * A component that is one thing on one host, applied and removed by one script.
 *
 * Its type is `ssh-reverse-tunnel:index:<Class>`, its script's name `<name>-script`. `dependsOn` also applies to the
 * script; Pulumi by itself does not pass it on.
 */
export abstract class RemoteComponent extends pulumi.ComponentResource {
  /** @see fingerprintOfScript */
  public fingerprint!: pulumi.Output<string>;
  private readonly dependsOn: pulumi.Input<pulumi.Resource>[];

  protected constructor(type: string, name: string, opts: pulumi.ComponentResourceOptions | undefined) {
    super(`ssh-reverse-tunnel:index:${type}`, name, {}, opts);
    this.dependsOn = [opts?.dependsOn ?? []].flat() as pulumi.Input<pulumi.Resource>[];
  }

  /** Runs the component's script. */
  protected run(name: string, args: RemoteScriptArgs, after: pulumi.Resource[] = []): command.remote.Command {
    const script = remoteScript(name, args, { parent: this, after: [...this.dependsOn, ...after] });
    this.fingerprint = fingerprintOfScript(script);
    return script;
  }

  /**
   * Runs a script twice, with its change on trial on the host (shell/lib/trial.sh): once to make the change, and again
   * over a new connection. That login proves that the host can still be reached; without it, the host rolls back the
   * change. Returns the second command.
   *
   * @param trial what is on trial, for the name of the rollback's unit on the host
   * @param what the same in words, "sshd"
   */
  protected runOnTrial(
    name: string,
    args: RemoteScriptArgs,
    trial: string,
    what: string,
  ): command.remote.Command {
    const { host } = args;
    const both = { ...args, record: args.record ?? name };
    const change = this.run(`${name}-change`, {
      ...both,
      values: { ...args.values, ...trialValues(host, trial, "no") },
    });
    return this.run(
      `${name}-confirm`,
      {
        ...both,
        values: { ...args.values, ...trialValues(host, trial, "yes") },
        removes: false,
        ifRefused: takenBack(host, what),
      },
      [change],
    );
  }
}

/**
 * The values of a script whose change is on trial.
 *
 * @param trial what is on trial, for the name of the rollback's unit on the host
 * @param confirm whether a new login confirms it: `no` in the first run, `yes` in the second; `now` if one run does
 * both, since what is on trial cannot lock out the admin
 * @param seconds the least time that the change needs
 */
export function trialValues(host: Host, trial: string, confirm: "no" | "yes" | "now", seconds = 0): Values {
  return {
    TRIAL: trial,
    TRIAL_SECONDS: String(assertValid("number", Math.max(host.trialSec ?? defaultTrialSec, seconds))),
    ROLL_BACK: new Program("rollBack"),
    CONFIRM: confirm,
  };
}

/** Changes whenever a script or its inputs change, for whatever must then run again. */
export function fingerprintOfScript(script: command.remote.Command): pulumi.Output<string> {
  // A changed revision means a new check, changed drift a repair, and a changed id a takeover; none needs a restart.
  return script.stdin.apply((text = "") =>
    fingerprintOf(["STACK_ID", "REVISION", "DRIFT"].reduce(withoutValue, text)),
  );
}

/** A script's text without one variable of its header, whose value may have several lines. */
function withoutValue(text: string, name: string): string {
  return text.replace(new RegExp(`^${name}='(?:[^']|'\\\\'')*'\\n`, "m"), "");
}
