import { describe, expect, it } from "vitest";
import { inTurns } from "../lab/inTurns.ts";

/** A task that ends when it is told to. */
function tasks() {
  const running = new Map<number, { end: () => void; fail: (error: Error) => void }>();
  const action = (one: number) =>
    new Promise<string>((resolve, reject) => {
      running.set(one, {
        end: () => {
          running.delete(one);
          resolve(`did ${one}`);
        },
        fail: (error) => {
          running.delete(one);
          reject(error);
        },
      });
    });
  return { running, action };
}

/** Gives what has ended time to continue. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("tasks with limited concurrency", () => {
  it("run no more than the limit at a time, and return their results in order", async () => {
    const { running, action } = tasks();
    const all = inTurns([1, 2, 3], 2, action);
    expect([...running.keys()]).toEqual([1, 2]);
    running.get(2)?.end();
    await settled();
    expect([...running.keys()]).toEqual([1, 3]);
    running.get(3)?.end();
    running.get(1)?.end();
    expect(await all).toEqual(["did 1", "did 2", "did 3"]);
  });

  it("all end before the error of one of them is thrown", async () => {
    const { running, action } = tasks();
    const all = inTurns([1, 2, 3], 2, action);
    let over = false;
    const error = all.then(
      () => undefined,
      (reason: Error) => {
        over = true;
        return reason.message;
      },
    );
    running.get(1)?.fail(new Error("no"));
    running.get(2)?.end();
    await settled();
    expect([...running.keys()]).toEqual([3]);
    expect(over).toBe(false);
    running.get(3)?.end();
    expect(await error).toBe("no");
  });
});
