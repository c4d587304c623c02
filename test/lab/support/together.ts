/** Does the same for each of these at once, and waits for all; what fails says for which. */
export async function together<T>(
  each: readonly T[],
  nameOf: (one: T) => string,
  act: (one: T) => Promise<void>,
): Promise<void> {
  const outcomes = await Promise.allSettled(each.map(act));
  const failures = outcomes.flatMap((outcome, index) => {
    if (outcome.status === "fulfilled") return [];
    const failure = outcome.reason instanceof Error ? outcome.reason : new Error(String(outcome.reason));
    // With it goes the difference that an assertion has found.
    failure.message = `${nameOf(each[index]!)}: ${failure.message}`;
    return [failure];
  });
  if (failures.length === 0) return;
  if (failures.length === 1) throw failures[0]!;
  throw new AggregateError(failures, failures.map(({ message }) => message).join("\n"));
}
