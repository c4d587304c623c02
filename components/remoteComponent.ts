import { createHash } from "node:crypto";
import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { RemoteScriptArgs } from "./remoteScript.ts";
import { remoteScript } from "./remoteScript.ts";

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
    // Another revision is a reason to look again, and none to restart what is as it should be.
    this.fingerprint = script.stdin.apply((text = "") => fingerprintOf(text.replace(/^REVISION=.*\n/m, "")));
    return script;
  }
}

/** A short hash, the same for the same text. */
export function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
