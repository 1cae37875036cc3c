// Reads questions [{text, png (base64)}] from the standard input and writes what
// the decoders installed in the folder of the first argument make of each.
"use strict";
const path = require("path");
const from = (name) => require(path.join(process.argv[2], "node_modules", name));
const { FPS } = from("hkqr-fps");
const emvqr = from("emvqr");
const jsqr = from("jsqr");
const { PNG } = from("pngjs");

FPS.Silent();
const text = (event) => (event.isError() || event.data === undefined ? "" : String(event.data));

function decode(question) {
  const picture = PNG.sync.read(Buffer.from(question.png, "base64"));
  const found = jsqr(new Uint8ClampedArray(picture.data), picture.width, picture.height);
  const code = new FPS();
  const parsed = code.parse(question.text);
  if (parsed.isError()) return { error: parsed.message };
  const emv = emvqr.decode(question.text);
  return {
    picture: found ? found.data : "",
    mobile: text(code.getMobile()),
    email: text(code.getEmail()),
    fps_id: text(code.getFPSId()),
    bank: text(code.getBank()),
    amount: text(code.getAmount()),
    currency: text(code.getCurrency()),
    bill: text(code.getBillNumber()),
    reference: text(code.getReference()),
    once: !code.isStatic(),
    country: emv["58"].data,
  };
}

let input = "";
process.stdin.on("data", (chunk) => (input += chunk));
process.stdin.on("end", () => process.stdout.write(JSON.stringify(JSON.parse(input).map(decode))));
