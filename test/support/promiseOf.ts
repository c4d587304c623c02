import type * as pulumi from "@pulumi/pulumi";

/** The value of an output, to await. An `expect` inside an `apply` that nobody awaits fails without failing its test. */
export async function promiseOf<T>(output: pulumi.Output<T>): Promise<T> {
  return (output as unknown as { promise(): Promise<T> }).promise();
}
