import assert from "node:assert/strict";
import { test } from "node:test";
import { CniError } from "../../wire/cni/error.ts";
import { naming } from "./links.ts";

test("a refusal names the network and its file, once, and what is no refusal stays", async () => {
  const told = async (error: Error, file?: string) => {
    try {
      await naming("shop", file, () => Promise.reject(error));
    } catch (failed) {
      return (failed as Error).message;
    }
    return "";
  };
  const refusal = new CniError("invalidConfig", "no IP ranges specified");
  assert.equal(await told(refusal), 'Cannot use network "shop": no IP ranges specified');
  assert.equal(
    await told(refusal, "/etc/ocinet/net.d/shop.conf"),
    'Cannot use network "shop" (/etc/ocinet/net.d/shop.conf): no IP ranges specified',
  );
  const named = 'Cannot use cniVersion "9.0.0" of network "shop"';
  assert.equal(await told(new CniError("invalidConfig", named)), named);
  assert.equal(await told(new Error("killed")), "killed");
  assert.equal(await naming("shop", undefined, () => Promise.resolve(7)), 7);
});
