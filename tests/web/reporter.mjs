// One line for each test that failed, and one for all.
export default async function* (events) {
  let [passed, failed] = [0, 0];
  for await (const { type, data } of events) {
    if (type == "test:stderr" || type == "test:stdout") yield data.message;
    if (type != "test:pass" && type != "test:fail") continue;
    if (data.nesting == 0 && /\.mjs$/.test(data.name)) continue;
    if (type == "test:pass") passed++;
    else {
      failed++;
      const why = data.details.error;
      yield `FAILED ${data.name} (${data.file}:${data.line})\n${(why.cause?.stack ?? why.stack ?? why).toString()}\n`;
    }
  }
  yield `${passed} passed, ${failed} failed\n`;
}
