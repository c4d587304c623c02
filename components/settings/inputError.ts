import * as pulumi from "@pulumi/pulumi";

/**
 * An error in a user's input, for a component to throw. Pulumi shows only its message, next to the resource if there is
 * one; for any other error it shows the stack.
 *
 * @example throw inputError("the tunnel 'nas' has no forwards; give it at least one", this);
 */
export function inputError(
  message: string,
  resource?: pulumi.Resource,
  cause?: unknown,
): pulumi.ResourceError {
  const error = new pulumi.ResourceError(message, resource, true);
  // Its stack is not shown, but Node 20 still takes half a minute to colour it.
  error.stack = message;
  if (cause !== undefined) error.cause = cause;
  return error;
}
