import * as pulumi from "@pulumi/pulumi";

/**
 * The output, or this value in a preview in which the output is not known. Everything computed from an unknown value is
 * unknown, and a preview then prints "[unknown]" instead of what changes.
 */
export function knownOr<T>(instead: pulumi.Output<T>, output: pulumi.Output<T>): pulumi.Output<T> {
  // Missing in the SDK's types, but present since its first version.
  const { isKnown } = output as unknown as { isKnown: Promise<boolean> };
  return pulumi.output(isKnown).apply<T>((known) => (known ? output : instead));
}
