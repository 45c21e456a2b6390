// Reads a list of replies of /rows from standard input, and writes each made wide, as Grafana's server does it
// for the format "time series" before alert rules see it.
package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
)

type row struct {
	Time   float64
	Metric string
	Value  *float64
}

type wide struct {
	Times  []float64             `json:"times"`
	Series map[string][]*float64 `json:"series"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func widened(rows []row) wide {
	times, metrics, values := []time.Time{}, []string{}, []*float64{}
	for _, one := range rows {
		times = append(times, time.UnixMicro(int64(one.Time*1000)).UTC())
		metrics, values = append(metrics, one.Metric), append(values, one.Value)
	}
	frame, err := data.LongToWide(data.NewFrame("rows",
		data.NewField("time", nil, times), data.NewField("metric", nil, metrics), data.NewField("value", nil, values)), nil)
	check(err)
	result := wide{Series: map[string][]*float64{}}
	for i := 0; i < frame.Rows(); i++ {
		result.Times = append(result.Times, float64(frame.Fields[0].At(i).(time.Time).UnixMicro())/1000)
	}
	for _, field := range frame.Fields[1:] {
		name := field.Labels["metric"]
		for i := 0; i < field.Len(); i++ {
			result.Series[name] = append(result.Series[name], field.At(i).(*float64))
		}
	}
	return result
}

func main() {
	var replies [][]row
	check(json.NewDecoder(os.Stdin).Decode(&replies))
	results := []wide{}
	for _, rows := range replies {
		results = append(results, widened(rows))
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
}
