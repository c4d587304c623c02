import * as pulumi from "@pulumi/pulumi";
import { assertValid } from "../render/checks.ts";

/** {@link assertValid} for an argument of a component: at once if it is plain text, otherwise when it is known. */
export function assertValidInput(
  kind: Parameters<typeof assertValid>[0],
  input: pulumi.Input<string>,
): pulumi.Input<string> {
  return typeof input === "string"
    ? assertValid(kind, input)
    : pulumi.output(input).apply((text) => assertValid(kind, text));
}
