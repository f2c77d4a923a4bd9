// vcsim serves the vCenter API of govmomi's simulator, which ships as a library, on loopback.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/pbm/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
)

func main() {
	model := simulator.VPX()
	flag.IntVar(&model.Datacenter, "dc", model.Datacenter, "datacenters")
	flag.IntVar(&model.Cluster, "cluster", model.Cluster, "clusters in each datacenter")
	flag.IntVar(&model.ClusterHost, "host", model.ClusterHost, "hosts in each cluster")
	flag.IntVar(&model.Machine, "vm", model.Machine, "virtual machines in each resource pool")
	flag.IntVar(&model.Portgroup, "pg", model.Portgroup, "port groups in each datacenter")
	flag.Parse()

	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	server := model.Service.NewServer()
	fmt.Println(server.URL.Host)
	// No parent, no simulator: it ends when its standard input closes.
	_, _ = os.Stdin.Read(make([]byte, 1))
	server.Close()
}
