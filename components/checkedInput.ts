import * as pulumi from "@pulumi/pulumi";
import { checked } from "./render/checks.ts";

/** {@link checked} for an argument of a component: at once where it is a plain text, else when it is known. */
export function checkedInput(
  kind: Parameters<typeof checked>[0],
  input: pulumi.Input<string>,
): pulumi.Input<string> {
  return typeof input === "string"
    ? checked(kind, input)
    : pulumi.output(input).apply((text) => checked(kind, text));
}
