// Reads a list of replies of /query from standard input, and writes for each what Grafana makes of it: the rows of
// "Join by field", "Add field from calculation" and "Reduce", by Grafana's own code.
const Module = require("module");

// Calculations do without hooks for a browser, and without the modules that Node.js before 20.19 cannot load like this.
const load = Module._load;
Module._load = (name, ...rest) => {
  try {
    return name === "react-use" ? {} : load(name, ...rest);
  } catch (error) {
    if (error.code === "ERR_REQUIRE_ESM") return {};
    throw error;
  }
};
console.log = console.info = () => {}; // what libraries say of themselves is no reply
const navigator = {languages: ["en"]};
Object.assign(globalThis, {window: globalThis, location: {}, navigator, addEventListener: () => {}});
const {of} = require("rxjs");
const grafana = require("@grafana/data");

const REDUCERS = ["first", "last", "max", "min", "mean", "sum", "count", "diff"];
const {joinByFieldTransformer, calculateFieldTransformer} = grafana.standardTransformers;

function apply(transformer, options, frames) {
  let made;
  of(frames).pipe(transformer.operator(options, {interpolate: (text) => text})).subscribe((data) => (made = data));
  return made;
}

function calculated(options, frames) {
  const [frame] = apply(calculateFieldTransformer, {...options, alias: "made"}, frames);
  return frame.fields.find((field) => field.name === "made").values;
}

function binary(left, operator, right, frames) {
  return calculated({mode: "binary", binary: {left, operator, right}}, frames);
}

// Each series on top of those before it, by the sums of two that the editor offers.
function stacked(names, frames) {
  let [joined] = frames;
  return names.map((name, i) => {
    const level = `level ${i}`;
    const before = i ? {matcher: {id: "byName", options: `level ${i - 1}`}} : {fixed: "0"};
    const options = {left: before, operator: "+", right: {matcher: {id: "byName", options: name}}};
    [joined] = apply(calculateFieldTransformer, {mode: "binary", binary: options, alias: level}, [joined]);
    return joined.fields.find((field) => field.name === level).values;
  });
}

// The first number of each series as a panel shows it that sets a unit, by its standard options or by an override.
function shown(reply, defaults, overrides) {
  const unit = {id: "unit", path: "unit", name: "Unit", process: (value) => value, shouldApply: () => true};
  const settings = {fieldConfig: {defaults, overrides}, fieldConfigRegistry: new grafana.FieldConfigOptionsRegistry(() => [unit])};
  const panel = {...settings, replaceVariables: (text) => text, theme: grafana.createTheme(), timeZone: "utc"};
  return grafana.applyFieldOverrides({...panel, data: reply.map(grafana.toDataFrame)}).map(({fields}) => {
    const field = fields.find(({type}) => type === "number");
    return field ? grafana.formattedValueToString(field.display(field.values[0])) : "";
  });
}

function made(reply) {
  const overrides = [{matcher: {id: "byType", options: "number"}, properties: [{id: "unit", value: "volt"}]}];
  const frames = reply.map(grafana.toDataFrame);
  const joined = apply(joinByFieldTransformer, {byField: "Time", mode: "outer"}, frames);
  const [time, ...fields] = joined[0].fields;
  const names = fields.map((field) => grafana.getFieldDisplayName(field, joined[0], joined));
  const numbers = names.filter((_, i) => fields[i].type === "number");
  return {
    frames: joined.length,
    shown: {default: shown(reply, {unit: "volt"}, []), override: shown(reply, {}, overrides)},
    times: time.values,
    columns: Object.fromEntries(fields.map((field, i) => [names[i], field.values])),
    total: calculated({mode: "reduceRow", reduce: {reducer: "sum"}}, joined),
    difference: numbers.length > 1 ? binary(numbers[0], "-", numbers[1], joined) : [],
    stack: stacked(numbers, joined),
    reduced: Object.fromEntries(fields.map((field, i) => [names[i], grafana.reduceField({field, reducers: REDUCERS})])),
  };
}

// What is not there is told apart from null, which is a gap.
const plain = (_, value) => (value === undefined ? "undefined" : Number.isNaN(value) ? "NaN" : value);
const replies = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(replies.map(made), plain));
