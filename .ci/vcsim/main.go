// vcsim serves the vCenter API of govmomi's simulator, which ships as a library, on loopback.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"

	_ "github.com/vmware/govmomi/pbm/simulator"
	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
)

func main() {
	model := simulator.VPX()
	flag.IntVar(&model.Machine, "vm", model.Machine, "virtual machines in each resource pool")
	flag.IntVar(&model.Portgroup, "pg", model.Portgroup, "port groups in each datacenter")
	flag.Parse()

	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	// Without a user in the address, any password would do.
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("user", "pass")}
	server := model.Service.NewServer()
	fmt.Println(server.URL.Host)
	// No parent, no simulator: it ends when its standard input closes.
	_, _ = os.Stdin.Read(make([]byte, 1))
	server.Close()
}
