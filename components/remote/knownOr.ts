import * as pulumi from "@pulumi/pulumi";

/**
 * The output; in a preview in which it is not known, this instead. Everything that an unknown value goes into is unknown, and
 * a preview then says "[unknown]" in place of what changes.
 */
export function knownOr<T>(instead: pulumi.Output<T>, output: pulumi.Output<T>): pulumi.Output<T> {
  // Not in the SDK's types; there since its first version.
  const { isKnown } = output as unknown as { isKnown: Promise<boolean> };
  return pulumi.output(isKnown).apply<T>((known) => (known ? output : instead));
}
